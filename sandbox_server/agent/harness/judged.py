"""Runs a sample of a kind that is judged by tests: load the solution, ask for the tests, run them, report.

The two halves are kept apart on purpose. What `load` returns is the state after the sample was loaded and
before a byte of its tests is here: `run_tests` may run in a fork of it as well, with other tests.
"""

from __future__ import annotations
import __future__

import builtins
import sys
from types import CodeType, ModuleType
from typing import Any, Callable, Dict, List, NamedTuple, NoReturn, Optional, Sequence

from . import disabled, faults, pristine, streams
from .channel import Channel, Report
from .integrity import NONE, Framework, Snapshot, shadowed, used_builtins

__builtins__ = pristine.BUILTINS
__unittest = True

_FUTURE_FLAGS = 0
for _name in __future__.all_feature_names:
    _FUTURE_FLAGS |= getattr(__future__, _name).compiler_flag


_kept: List[ModuleType] = []


class Loaded(NamedTuple):
    """A process in which the solution was executed.

    Attributes:
        namespace: Where it was executed, and where its tests will be.
        module: The module that this namespace is of; None where the original harness uses a bare dict.
        solution: The solution's source text.
        filename: What its tracebacks call its file.
        flags: Its `from __future__` imports, which hold for tests in the same file.
        entry_point: The function that the tests call; may be empty.
        builtins: What its namespace was given as builtins.
        snapshot: What judges, as it was before.
        output: Its streams.
    """

    namespace: Dict[str, Any]
    module: Optional[ModuleType]
    solution: str
    filename: str
    flags: int
    entry_point: str
    builtins: Any
    snapshot: Snapshot
    output: streams.WriteOnlyStreams


class UnloadedError(Exception):
    """Raised when a solution cannot be loaded; `error` is what to report."""

    def __init__(self, error: Dict[str, Any]) -> None:
        super().__init__(error["message"])
        self.error = error


class Tests(NamedTuple):
    """The source of tests, compiled, and where its lines come from."""

    code: CodeType
    sources: Dict[str, str]


def load(
    program: Dict[str, Any],
    namespace: Dict[str, Any],
    filename: str,
    module: Optional[ModuleType] = None,
    framework: Callable[[], Framework] = lambda: NONE,
) -> Loaded:
    """Executes a solution.

    Args:
        program: What `docs/agent-protocol.md` lists for the kind.
        namespace: Where to execute it.
        filename: What its tracebacks call its file.
        module: The module that this namespace is of, where there is one.
        framework: Returns what judges beside the builtins.

    Raises:
        UnloadedError: It does not compile, raises, or does not define its entry point.
    """
    solution = program["solution"]
    entry_point = program.get("entry_point") or ""
    # The process's own main module is the agent's, none of the sample's business. It is kept: freeing it
    # would copy the memory pages it is in.
    _kept.append(sys.modules["__main__"])
    sys.modules["__main__"] = ModuleType("__main__")
    sys.argv = [filename]
    disabled.disable(program.get("disabled_names") or ())
    given = namespace["__builtins__"]
    snapshot = Snapshot(framework())
    output = streams.WriteOnlyStreams()
    sources = {filename: solution}
    try:
        code = compile(solution, filename, "exec", dont_inherit=True)
    except BaseException as error:  # SyntaxError, or what a source too deep or with a NUL makes compile raise
        raise UnloadedError(faults.describe(error, sources, "syntax")) from None
    try:
        exec(code, namespace)  # noqa: S102  # to execute it is what a harness is for
    except BaseException as error:
        raise UnloadedError(faults.describe(error, sources)) from None
    finally:
        output.flush()
    if entry_point and entry_point not in namespace:
        message = "name %r is not defined" % entry_point
        raise UnloadedError(
            {
                "type_name": "NameError", "message": message, "missing_module": "", "kind": "entry_point",
                "traceback": "The solution was loaded and does not define %r.\n" % entry_point,
            }
        )  # fmt: skip
    flags = code.co_flags & _FUTURE_FLAGS
    return Loaded(namespace, module, solution, filename, flags, entry_point, given, snapshot, output)


def compile_tests(loaded: Loaded, sources: Sequence[str], report: Report) -> List[Tests]:
    """Compiles tests as if each stood below the solution in one file, with the line numbers of that file.

    Reports what the solution did to what will judge it: none of the tests has run yet.
    """
    solution = loaded.solution
    if "\r" in solution:
        solution = solution.replace("\r\n", "\n").replace("\r", "\n")
    above = "\n" * (solution.count("\n") + 1)
    tests = []
    for source in sources:
        lines = {loaded.filename: solution + "\n" + source}
        try:
            code = compile(above + source, loaded.filename, "exec", loaded.flags, dont_inherit=True)
        except BaseException as error:
            fail(loaded, report, faults.describe(error, lines, "syntax"))
        tests.append(Tests(code, lines))
    codes = [one.code for one in tests]
    used = used_builtins(codes)
    if loaded.module is None:
        loaded.snapshot.watch_only(used)
    words = loaded.snapshot.changes("after loading")
    if loaded.namespace.get("__builtins__") is not loaded.builtins:
        words.append("after loading: __builtins__ of the module")
    hidden = [name for name in shadowed(codes, used, loaded.namespace) if name != loaded.entry_point]
    words += ["after loading: the solution shadows builtins.%s, which the tests use" % name for name in hidden]
    report.integrity(words)
    return tests


class TestsUnfinishedError(Exception):
    """Raised when tests end by an error that no test owns and that was reported."""


def fail(loaded: Loaded, report: Report, error: Dict[str, Any]) -> NoReturn:
    """Reports an error that no test owns and ends the tests.

    Raises:
        TestsUnfinishedError: Always.
    """
    report.integrity(loaded.snapshot.changes("after testing"))
    report.error(error)
    raise TestsUnfinishedError


def judge(
    channel: Channel,
    load_solution: Callable[[], Loaded],
    run_tests: Callable[[Loaded, Dict[str, Any], Report], None],
) -> int:
    """Loads a solution and runs its tests; returns the exit code.

    Args:
        channel: Where to report.
        load_solution: Executes the solution.
        run_tests: Runs the tests in the state after that.
    """
    try:
        loaded = load_solution()
    except UnloadedError as unloaded:
        channel.send({"error": unloaded.error})
        return 1
    channel.send({"loaded": True})
    answer = channel.receive_tests()
    report = Report(channel, answer["nonce"])
    try:
        run_tests(loaded, answer["tests"], report)
        loaded.output.flush()
        report.integrity(loaded.snapshot.changes("after testing"))
        report.done()
    except TestsUnfinishedError:
        return 1
    except BaseException as error:
        # Raised into the harness's own code: by a signal handler of the sample, or by its depth of recursion.
        pristine.allow_recursion()
        report.error(faults.describe(error, {}))
        return 1
    else:
        return 0
    finally:
        loaded.output.flush()


def own_builtins() -> Dict[str, Any]:
    """Returns the interpreter's builtins, which are not the harness's private copy."""
    return vars(builtins)
