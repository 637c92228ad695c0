"""The task kind `unittest`: solution and tests are one module, judged by one TestCase class."""

from __future__ import annotations

import builtins
import os
import sys
import unittest
from types import ModuleType
from typing import TYPE_CHECKING, Any, Dict, Iterator

from . import faults, framework, judged, pristine
from .recorder import Recorder, test_id_of

if TYPE_CHECKING:
    from .channel import Channel, Report

__builtins__ = pristine.BUILTINS
__unittest = True


def run(program: Dict[str, Any], channel: Channel) -> int:
    """Runs a sample; returns the exit code."""
    return judged.judge(channel, lambda: _load(program), _run_tests)


def _load(program: Dict[str, Any]) -> judged.Loaded:
    name = program.get("module_name") or "__test__"
    module = ModuleType(name)
    filename = name + ".py"
    # What BigCodeBench gives its modules. Not in sys.modules until the tests were executed: dataclasses,
    # pickle and others look there, and solutions that depend on it fail in the original too.
    vars(module).update(
        __builtins__=builtins,
        __file__=filename,
        __package__=None,
        __doc__=None,
        sys=sys,
        os=os,
        environ=os.environ,
    )
    return judged.load(program, vars(module), filename, module, framework.parts)


def _run_tests(loaded: judged.Loaded, tests: Dict[str, Any], report: Report) -> None:
    (compiled,) = judged.compile_tests(loaded, [tests["source"]], report)
    module = loaded.module
    assert module is not None
    recorder = Recorder(report, compiled.sources, loaded.output.flush)
    try:
        exec(compiled.code, loaded.namespace)  # noqa: S102  # to execute it is what a harness is for
        sys.modules[module.__name__] = module
        case = getattr(module, tests["class_name"])
        # By the public names, as the original does: what the sample left there is part of what it would
        # have said.
        suite = unittest.TestLoader().loadTestsFromTestCase(case)
        report.plan([test_id_of(test) for test in _tests_in(suite)])
        suite.run(recorder)
    except BaseException as error:
        # KeyboardInterrupt out of a test, SystemExit out of a fixture: unittest lets these through.
        report.integrity(recorder.hidden_issues())
        judged.fail(loaded, report, faults.describe(error, compiled.sources))
    report.integrity(recorder.hidden_issues())


def _tests_in(suite: Any) -> Iterator[Any]:
    for test in suite:
        if isinstance(test, unittest.BaseTestSuite):
            yield from _tests_in(test)
        else:
            yield test
