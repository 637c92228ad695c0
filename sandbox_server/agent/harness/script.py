"""The task kinds `script` and `stdio`: a program as `__main__`, with Python's own semantics to the end.

How Python ends is repeated here because the process ends by `os._exit`: an ordinary end would tear down a
zygote's libraries, which takes longer than most samples.
"""

from __future__ import annotations

import atexit
import builtins
import gc
import linecache
import os
import sys
import threading
import traceback
from types import ModuleType
from typing import TYPE_CHECKING, Any, Callable, Dict, cast

from . import faults, pristine, streams

if TYPE_CHECKING:
    from .channel import Channel

__builtins__ = pristine.BUILTINS

_FILENAME = "main.py"
# What Python itself calls at its end. Any, because neither has a public name.
_join_threads = cast("Any", threading)._shutdown  # noqa: SLF001  # see above
_run_exit_functions = cast("Any", atexit)._run_exitfuncs  # noqa: SLF001  # see above
_FLUSH_FAILED = 120  # what Python exits with when standard output cannot be flushed


def run(program: Dict[str, Any], channel: Channel) -> int:
    """Runs a program; returns the exit code."""
    source = program["source"]
    module = ModuleType("__main__")
    vars(module).update(__builtins__=builtins, __file__=_FILENAME)
    sys.modules["__main__"] = module
    sys.argv = [_FILENAME, *(program.get("arguments") or ())]
    sys.path.insert(0, os.getcwd())  # where `python main.py` looks for modules beside it
    streams.install_real()
    # Without a time of change, so that linecache does not look for the file.
    linecache.cache[_FILENAME] = (len(source), None, source.splitlines(keepends=True), _FILENAME)
    code = _execute(source, vars(module), channel)
    return _end(module, code)


def _execute(source: str, namespace: Dict[str, Any], channel: Channel) -> int:
    sources = {_FILENAME: source}
    try:
        compiled = compile(source, _FILENAME, "exec", dont_inherit=True)
    except BaseException as error:
        error.__traceback__ = None  # its only frame is this one
        channel.send({"error": faults.describe(error, sources, "syntax")})
        return _show(error)
    try:
        exec(compiled, namespace)  # noqa: S102  # to execute it is what a harness is for
    except SystemExit as error:
        return _exit_code(error)
    except BaseException as error:
        trace = error.__traceback__
        # The frame above the program's own is this one.
        error.__traceback__ = trace.tb_next if trace is not None else None
        channel.send({"error": faults.describe(error, sources)})
        return _show(error)
    return 0


def _exit_code(error: SystemExit) -> int:
    """Returns the exit code that Python makes of a SystemExit, having written its message if it has one."""
    code = error.code
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF if abs(code) <= sys.maxsize else 0xFF
    try:
        sys.stderr.write("%s\n" % (code,))
        sys.stderr.flush()
    except BaseException:
        return 1  # the program's stderr or its object's __str__; Python ignores it here too
    return 1


def _show(error: BaseException) -> int:
    """Shows an uncaught exception as Python does, on stderr; returns the exit code."""
    try:
        hook = sys.excepthook
        if hook is sys.__excepthook__:
            # The one in C reads lines from files only.
            traceback.print_exception(type(error), error, error.__traceback__)
        else:
            hook(type(error), error, error.__traceback__)
    except SystemExit as replaced:
        return _exit_code(replaced)
    except BaseException:
        return 1  # stderr is closed, or the program's own hook raised: the error was reported all the same
    return 1


def _end(module: ModuleType, code: int) -> int:
    """Joins threads, runs what was registered for the end, drops the program's objects and flushes."""
    _show_errors_of(_join_threads)
    _show_errors_of(_run_exit_functions)
    _clear(module)
    try:
        sys.stdout.flush()
    except ValueError:
        return code  # the program closed it, which flushed it
    except BaseException:
        return code or _FLUSH_FAILED
    finally:
        _flush_others()
    return code


def _show_errors_of(step: Callable[[], None]) -> None:
    try:
        step()
    except BaseException as error:
        _show(error)


def _clear(module: ModuleType) -> None:
    """Drops the program's globals, so that files it left open are written out."""
    namespace = vars(module)
    for name in list(namespace):
        if name != "__builtins__":
            namespace[name] = None
    linecache.cache.pop(_FILENAME, None)
    gc.collect()


def _flush_others() -> None:
    for stream in (sys.stderr, sys.__stdout__, sys.__stderr__):
        if stream is not None:
            streams.flush_quietly(stream)
