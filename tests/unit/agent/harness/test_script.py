"""Scripts run as `__main__` and end as Python ends."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit.agent.harness.conftest import Harness

# Each ends in a way of its own. What Python says of it, run as a file, is what is expected of the harness.
_ENDINGS = {
    "falls off the end": "print('hello')",
    "exits with a number": "import sys; print('x'); sys.exit(3)",
    "exits with nothing": "raise SystemExit",
    "exits with zero": "raise SystemExit(0)",
    "exits with a word": "import sys; sys.exit('nö')",
    "exits with a negative number": "import sys; sys.exit(-1)",
    "exits with 256": "import sys; sys.exit(256)",
    "exits with True": "raise SystemExit(True)",
    "raises": "def f():\n    raise ValueError('no')\nf()",
    "raises while handling": "try:\n    1/0\nexcept ZeroDivisionError as e:\n    raise KeyError('k') from e",
    "does not compile": "print('a')\nx = = 1\n",
    "has an excepthook": "import sys\nsys.excepthook = lambda *a: print('hook', a[0].__name__)\n1/0",
    "registers for the end": "import atexit\natexit.register(print, 'bye')\nprint('main')",
    "raises and registered": "import atexit\natexit.register(print, 'bye')\n1/0",
    "exits and registered": "import atexit\natexit.register(print, 'bye')\nraise SystemExit(4)",
    "leaves a thread": (
        "import threading, time\n"
        "def work():\n    time.sleep(0.05); print('worker')\n"
        "threading.Thread(target=work).start()\nprint('main')"
    ),
    "leaves a daemon thread": (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\nprint('x')"
    ),
    "is the main module": (
        "import sys, __main__\n"
        "print(__name__, __file__.endswith('main.py'), __package__, __doc__, __spec__)\n"
        "print(__main__.__dict__ is globals(), sys.modules['__main__'] is __main__, type(__builtins__))"
    ),
    "has a finalizer in its globals": "class C:\n    def __del__(self): print('gone')\nc = C()",
    "closes stdout": "import sys\nprint('x')\nsys.stdout.close()",
    "prints what it read undecoded": "import sys; sys.stdout.write(sys.stdin.readline())",
    "pickles its own class": ("import pickle\nclass C: pass\nprint(type(pickle.loads(pickle.dumps(C()))).__name__)"),
    "looks at its streams": (
        "import sys\n"
        "for s in (sys.stdin, sys.stdout, sys.stderr):\n"
        "    print(s.name, s.mode, s.encoding, s.errors, s.fileno(), s.isatty())\n"
        "print(sys.__stdout__ is sys.stdout, sys.__stdin__ is sys.stdin)"
    ),
}


@pytest.mark.parametrize("source", _ENDINGS.values(), ids=_ENDINGS.keys())
def test_a_script_ends_as_python_ends_it(child: Harness, source: str) -> None:
    stdin = b"\xff\xfe abc\n"
    (child.folder / "main.py").write_text(source, encoding="utf-8")
    expected = subprocess.run(
        [sys.executable, "main.py"],
        cwd=child.folder, input=stdin, capture_output=True, check=False,
        env={"LC_ALL": "C.UTF-8", "LANG": "C.UTF-8"},
    )  # fmt: skip
    (child.folder / "main.py").unlink()
    ran = child.script(source, stdin=stdin)
    assert ran.stdout == expected.stdout
    assert (ran.exit_code, ran.exit_signal) == (expected.returncode, None)
    if not expected.stderr.startswith(b"Traceback"):
        # Python names the file by its path, before 3.9 as it was given.
        shown = expected.stderr.replace(bytes(child.folder / "main.py"), b"main.py")
        assert ran.stderr == shown
    assert ran.reader.tampering == []


def test_an_uncaught_exception_is_shown_and_reported(child: Harness) -> None:
    ran = child.script("import sys\n\ndef f(x):\n    return 1 / x\n\nf(0)\n")
    shown = ran.stderr.decode()
    assert shown.startswith('Traceback (most recent call last):\n  File "main.py", line 6, in <module>\n    f(0)\n')
    assert shown.endswith("ZeroDivisionError: division by zero\n")
    assert "harness" not in shown
    assert ran.exit_code == 1
    assert ran.error == {
        "type_name": "ZeroDivisionError", "message": "division by zero", "kind": "error",
        "missing_module": "",
        "traceback": (
            "Traceback (most recent call last):\n"
            '  File "main.py", line 6, in <module>\n    f(0)\n'
            '  File "main.py", line 4, in f\n    return 1 / x\n'
            "ZeroDivisionError: division by zero\n"
        ),
    }  # fmt: skip


def test_a_missing_module_is_named(child: Harness) -> None:
    ran = child.script("import surely_not_there.at_all\n")
    assert ran.error["type_name"] == "ModuleNotFoundError"
    assert ran.error["missing_module"] == "surely_not_there"


def test_an_import_error_of_another_kind_names_no_missing_module(child: Harness) -> None:
    ran = child.script("from os import surely_not_there\n")
    assert ran.error["type_name"] == "ImportError"
    assert ran.error["missing_module"] == ""


def test_a_syntax_error_shows_its_line(child: Harness) -> None:
    ran = child.script("x = 1\ny = (1 +\n")
    assert ran.exit_code == 1
    assert ran.error["kind"] == "syntax"
    assert 'File "main.py", line 2' in ran.error["traceback"]
    assert "y = (1 +" in ran.error["traceback"]
    assert b"SyntaxError" in ran.stderr


@pytest.mark.parametrize("source", ["a\0b", "(" * 100_000, "x = '\ud800'"])
def test_a_source_that_no_parser_takes_is_a_syntax_error(child: Harness, source: str) -> None:
    ran = child.script(source)
    assert ran.exit_code == 1
    assert ran.error["kind"] == "syntax"


def test_a_number_too_large_for_an_exit_code(child: Harness) -> None:
    assert child.script("import sys; sys.exit(1 << 80)").exit_code == 255
    assert child.script("import sys; sys.exit(-1 << 80)").exit_code == 255


def test_exiting_is_no_error(child: Harness) -> None:
    assert child.script("import sys\nsys.exit(3)").reader.error is None


def test_an_interrupt_is_an_error(child: Harness) -> None:
    ran = child.script("raise KeyboardInterrupt('stop')")
    assert ran.exit_code == 1
    assert ran.error["type_name"] == "KeyboardInterrupt"


def test_arguments_and_files_beside_it(child: Harness) -> None:
    (child.folder / "beside.py").write_text("VALUE = 7\n")
    ran = child.script("import sys, beside\nprint(sys.argv, beside.VALUE)", "a", "b c")
    assert ran.stdout == b"['main.py', 'a', 'b c'] 7\n"


def test_standard_input_is_text_with_what_cannot_be_decoded_escaped(child: Harness) -> None:
    ran = child.script("import sys\nprint(ascii(input()), ascii(sys.stdin.read()))", stdin=b"\xe2\x82\xac\xff\r\nrest")
    assert ran.stdout == b"'\\u20ac\\udcff' 'rest'\n"


def test_a_file_that_was_left_open_is_written_out(child: Harness) -> None:
    child.script("f = open('out.txt', 'w')\nf.write('kept')\n")
    assert (child.folder / "out.txt").read_text() == "kept"


def test_output_that_cannot_be_written_is_not_success(child: Harness) -> None:
    ran = child.script("import os\nprint('x')\nos.close(1)")
    assert ran.exit_code == 120


def test_the_source_can_be_inspected(child: Harness) -> None:
    ran = child.script("import inspect\ndef f():\n    return 1\nprint(inspect.getsource(f))")
    assert ran.stdout == b"def f():\n    return 1\n\n"


def test_the_seed_decides_what_random_gives(child: Harness) -> None:
    program = {"source": "import random\nprint(random.random())", "arguments": []}
    one, same, other = (child.run("script", program, seed=seed).stdout for seed in (5, 5, 6))
    assert one == same != other


def test_the_seed_reaches_numpy_where_it_is_loaded(child: Harness) -> None:
    def prepare() -> None:
        import numpy as np  # noqa: PLC0415  # only in the child

        np.random.seed(0)  # noqa: NPY002  # the very generator that is meant

    program = {"source": "import numpy\nprint(numpy.random.rand())", "arguments": []}
    one, same, other = (child.run("script", program, seed=seed, prepare=prepare).stdout for seed in (-5, -5, 6))
    assert one == same != other
