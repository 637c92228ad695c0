"""The task kind `function_check`: a function judged by `check(candidate)`, by assert statements, or both."""

from __future__ import annotations

from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, Callable, Dict

from . import faults, judged, pristine

if TYPE_CHECKING:
    from .channel import Channel, Report

__builtins__ = pristine.BUILTINS
__unittest = True

_CHECK = "check"
_FILENAME = "<solution>"


def run(program: Dict[str, Any], channel: Channel) -> int:
    """Runs a sample; returns the exit code."""
    return judged.judge(channel, lambda: _load(program), _run_tests)


def _load(program: Dict[str, Any]) -> judged.Loaded:
    # As exec() of the original harness fills a fresh dict: `__name__` is then found in the builtins.
    return judged.load(program, {"__builtins__": judged.own_builtins()}, _FILENAME)


def _run_tests(loaded: judged.Loaded, tests: Dict[str, Any], report: Report) -> None:
    check, assertions = tests.get("check") or "", tests.get("assertions") or ()
    # All are compiled before the first is run: what does not compile is the dataset's fault, and no test.
    compiled = judged.compile_tests(loaded, [check, *assertions] if check else assertions, report)
    names = ["assertion %d" % index for index in range(len(assertions))]
    if check:
        names.insert(0, _CHECK)
    report.plan(names)
    for name, one in zip(names, compiled):
        run_one = _run_check if name == _CHECK else _run_assertion
        _run_one(name, run_one, one, loaded, report)


def _run_assertion(loaded: judged.Loaded, code: CodeType, _: Report) -> None:
    exec(code, loaded.namespace)  # noqa: S102  # to execute it is what a harness is for


def _run_check(loaded: judged.Loaded, code: CodeType, report: Report) -> None:
    namespace = loaded.namespace
    exec(code, namespace)  # noqa: S102  # to execute it is what a harness is for
    check = _named(namespace, _CHECK)
    own = [one for one in code.co_consts if isinstance(one, CodeType) and one.co_name == _CHECK]
    if own and not (type(check) is FunctionType and any(check.__code__ is one for one in own)):
        report.integrity(["check is not the function that the check source defines"])
    check(_named(namespace, loaded.entry_point))


def _named(namespace: Dict[str, Any], name: str) -> Any:
    try:
        return namespace[name]
    except KeyError:
        raise NameError("name %r is not defined" % name) from None


def _run_one(
    test_id: str,
    body: Callable[[judged.Loaded, CodeType, Report], None],
    tests: judged.Tests,
    loaded: judged.Loaded,
    report: Report,
) -> None:
    started = pristine.clock()
    status, detail, message = "passed", "", ""
    try:
        body(loaded, tests.code, report)
    except BaseException as error:
        status = "failed" if isinstance(error, AssertionError) else "error"
        detail, message = faults.traceback_of(error, tests.sources), faults.message_of(error)
    seconds = max(0.0, pristine.clock() - started)
    loaded.output.flush()
    report.result(test_id, status, detail, message, seconds)
