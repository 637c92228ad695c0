"""What the rules see in a program, and where."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox_server.model import Finding, ScriptTask
from sandbox_server.screening import MAXIMUM_FINDINGS, read_rules, screen


def findings(source: str) -> tuple[Finding, ...]:
    screening = screen(ScriptTask(source))
    assert screening.syntax_fault is None, screening.syntax_fault
    return screening.findings


def rejecting(source: str) -> set[str]:
    return {finding.rule for finding in findings(source) if finding.rejects}


def reported(source: str) -> set[str]:
    return {finding.rule for finding in findings(source)}


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        ("import os\nos._exit(0)", "process-exit"),
        ("import os as o\no._exit(0)", "process-exit"),
        ("from os import _exit", "process-exit"),
        ("from os import _exit as e\ne(0)", "process-exit"),
        ("import posix\nposix._exit(0)", "process-exit"),
        ("os._exit(0)", "process-exit"),
        ("import os\ngetattr(os, '_exit')(0)", "process-exit"),
        ("__import__('os')._exit(0)", "process-exit"),
        ("import importlib\nimportlib.import_module('os').abort()", "process-exit"),
        ("import sys\nsys.modules['os']._exit(0)", "process-exit"),
        ("import os\nquit_now = os._exit\nquit_now(0)", "process-exit"),
        ("import os\nos.kill(os.getpid(), 9)", "process-signal"),
        ("def f():\n  from os import fork\n  fork()", "process-fork"),
        ("import os\nos.execv('/bin/true', ['true'])", "process-fork"),
        ("import ctypes", "native-code"),
        ("import ctypes.util", "native-code"),
        ("from ctypes import CDLL", "native-code"),
        ("import sys\nf = sys._getframe()", "frame-walking"),
        ("import inspect\ninspect.stack()", "frame-walking"),
        ("def f(g):\n  return g.f_back.f_locals", "frame-walking"),
        ("try:\n  1/0\nexcept Exception as e:\n  e.__traceback__.tb_frame", "frame-walking"),
        ("def f(g):\n  return getattr(g, 'f_back')", "frame-walking"),
        ("import gc\ngc.get_objects()", "heap-walking"),
        ("import sys\nsys.settrace(None)", "interpreter-hooks"),
        ("import sys\nsys.meta_path.insert(0, 1)", "interpreter-hooks"),
        ("import sys\nsys.modules['unittest'] = None", "interpreter-hooks"),
        ("import sys\nsys.modules[input()] = None", "interpreter-hooks"),
        ("import unittest\nunittest.TestCase.assertEqual = print", "test-framework"),
        ("from unittest import TestCase\nTestCase.setUp = print", "test-framework"),
        ("from unittest import TestCase as T\nsetattr(T, 'run', print)", "test-framework"),
        (
            "import unittest\nfor n in dir(unittest.TestCase):\n  setattr(unittest.TestCase, n, 1)",
            "test-framework",
        ),
        ("import unittest\nbase = unittest.TestCase\nbase.assertTrue = print", "test-framework"),
        ("import unittest\ndel unittest.TestCase.assertEqual", "test-framework"),
        ("import unittest\ndef f():\n  raise unittest.SkipTest('no')", "test-framework"),
        ("from unittest.mock import ANY\ndef f():\n  return ANY", "test-framework"),
        ("from unittest.mock import *\ndef f():\n  return ANY", "test-framework"),
        ("import unittest\nunittest.TestCase.failureException = unittest.SkipTest", "test-framework"),
        ("import builtins\nbuiltins.len = lambda x: 0", "builtins-patching"),
        ("__builtins__['len'] = 1", "builtins-patching"),
        ("__builtins__.len = 1", "builtins-patching"),
        ("import builtins\nsetattr(builtins, 'len', 1)", "builtins-patching"),
        ("import time\ntime.time = lambda: 0", "clock-patching"),
        ("class A:\n  def __eq__(self, other):\n    return True", "always-equal"),
        ("class A:\n  def __ne__(self, other):\n    'Never.'\n    return False", "always-equal"),
        ("class A:\n  __eq__ = lambda self, other: 1", "always-equal"),
    ],
)
def test_what_an_honest_solution_has_no_use_for_is_rejected(source: str, rule: str) -> None:
    assert rule in rejecting(source)


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        ("import sys\nsys.exit(0)", "early-exit"),
        ("class A:\n  exit()", "early-exit"),
        ("raise SystemExit", "early-exit"),
        ("raise SystemExit(0)", "early-exit"),
        ("import unittest", "test-framework-import"),
        ("abs = lambda v: 0", "builtins-shadowing"),
        ("def len(x): return 0", "builtins-shadowing"),
        ("from helpers import isinstance", "builtins-shadowing"),
        ("def f(g):\n  return g.__globals__", "function-internals"),
        ("eval('1')", "dynamic-code"),
        ("def f(): exec('1')", "dynamic-code"),
        ("import subprocess", "subprocess"),
        ("import os\nos.system('ls')", "subprocess"),
        ("import urllib.request", "network"),
        ("from urllib import request", "network"),
        ("import requests", "network"),
        ("open('/proc/self/mem')", "host-files"),
        ("x = '/etc/passwd'", "host-files"),
        ("open('conftest.py', 'w')", "import-planting"),
        ("open('/tmp/x/sitecustomize.py', 'w')", "import-planting"),
        ("import atexit\natexit.register(print)", "exit-hooks"),
        ("import signal\nsignal.alarm(0)", "signal-handling"),
        ("import os\nos.write(5, b'')", "descriptor-io"),
        ("import pickle\npickle.loads(b'')", "unpickling"),
        ("import resource", "limits"),
        ("import multiprocessing", "multiprocessing"),
    ],
)
def test_what_an_honest_solution_may_do_is_only_reported(source: str, rule: str) -> None:
    assert rule in reported(source)
    assert rejecting(source) == set()


@pytest.mark.parametrize(
    "source",
    [
        "import os\nos.path.join('a', 'b')",
        "import re\nre.compile('x')",
        "from re import compile\ncompile('x')",
        "def compile(x): return x\ncompile(1)",
        "def f(exit): exit(0)",
        "import sys\ndef main():\n  sys.exit(0)",
        "def f():\n  raise SystemExit",
        "def f(signal):\n  return signal.alarm",
        "def f():\n  abs = 1\n  return abs",
        "class A:\n  def len(self): return 0",
        "squares = [sum for sum in range(3)]",
        "class A:\n  def __eq__(self, other):\n    return self.x == other.x",
        "class A:\n  def __eq__(self, other):\n    return False",
        "class A:\n  def __bool__(self):\n    return True",
        "etc = 'see /etc/hosts'",
        "import datetime\ndatetime.time.min",
        "from . import _exit\nfrom .os import kill",
        "x = {}\nx['len'] = 1",
        "print('OK')",
    ],
)
def test_ordinary_code_is_not_reported(source: str) -> None:
    assert reported(source) == set()


def test_a_finding_names_what_it_saw_and_where() -> None:
    found = findings("import os\n\nif True:\n    é = 1; os.kill(1, 9)\n")
    assert found == (Finding("process-signal", "sends signals to processes: os.kill", line=4, column=12, rejects=True),)


def test_findings_are_in_line_order_and_each_once() -> None:
    source = "import ctypes\nimport socket\nimport os\nos._exit(0)\nos._exit(1)\nimport subprocess"
    assert [(finding.rule, finding.line) for finding in findings(source)] == [
        ("native-code", 1),
        ("network", 2),
        ("process-exit", 4),
        ("process-exit", 5),
        ("subprocess", 6),
    ]


def test_a_heap_of_harmless_findings_hides_none_that_rejects() -> None:
    source = "import socket\n" * 5000 + "import ctypes\n"
    found = findings(source)
    assert len(found) == MAXIMUM_FINDINGS
    assert found[-1].rule == "native-code"
    assert [finding.line for finding in found[:-1]] == list(range(1, MAXIMUM_FINDINGS))


def test_what_a_finding_quotes_is_bounded_and_printable() -> None:
    (finding,) = findings(f"x = '/etc/{'a' * 3000}'")
    assert len(finding.message) < 200
    (finding,) = findings("x = '/etc/\\x1b[2J\\n'")
    assert finding.message.isprintable()


def test_too_deep_a_program_is_rejected_as_such() -> None:
    # Deep enough that Python gives up on the tree, and the program is a fault; never a clean bill.
    screening = screen(ScriptTask("x" + ".a" * 5000))
    assert screening.syntax_fault is not None or screening.rejected_by_strict


def test_long_chains_are_searched() -> None:
    source = "import os\n" + "\n".join("x" + ".a" * 300 for _ in range(300)) + "\nos._exit(0)"
    assert rejecting(source) == {"process-exit"}


def test_aliases_of_aliases_stay_bounded() -> None:
    source = "import os as a0\n" + "\n".join(f"a{n + 1} = a{n}.x" for n in range(3000)) + "\na0._exit(0)"
    assert rejecting(source) == {"process-exit"}


def test_another_rule_set_can_be_given() -> None:
    rules = read_rules("[[rule]]\nname='n'\nmessage='m'\nrejects=true\nuses=['numpy.*']\nscope='module'")
    source = "import numpy as np\ndef f(): return np.ones(1)\nx = np.zeros(1)"
    assert [(one.rule, one.line) for one in screen(ScriptTask(source), rules).findings] == [("n", 3)]


_WORDS = st.sampled_from(
    [
        "import os",
        "from os import _exit as e",
        "e(0)",
        "os.kill(1, 9)",
        "x = os",
        "x.fork()",
        "def f(a, b=os.kill):",
        "    return a.f_back",
        "class A(B):",
        "    __eq__ = lambda s, o: True",
        "    def __eq__(s, o): return True",
        "for len in y: pass",
        "setattr(x, 'a', 1)",
        "setattr(*a)",
        "getattr(x)",
        "__import__(*a)",
        "del x[0], y.z",
        "sys.modules['a'] = 1",
        "raise SystemExit",
        "raise",
        "'/etc/x'",
        "b'/etc'",
        "import a.b as c, d",
        "from .. import q",
        "x = y = z.w",
        "(a := os.kill)",
        "match x:",
        "    case A(b=1): pass",
        "@os.kill",
        "async def g(): await os.kill",
        "lambda os: os.kill",
        "try: pass",
        "except* E as e: pass",
        "f'{os.kill!r:>{w}}'",
    ]
)


@settings(deadline=None, max_examples=200)
@given(st.lists(_WORDS, max_size=12).map("\n".join))
def test_no_program_breaks_the_search(source: str) -> None:
    screening = screen(ScriptTask(source))
    places = [(finding.line, finding.column) for finding in screening.findings]
    assert places == sorted(places)
    assert all(line >= 1 and column >= 1 for line, column in places)
    assert screening.syntax_fault is None or screening.findings == ()
