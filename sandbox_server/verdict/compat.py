"""Says what the original harness would have said of the same program, in its own words.

`unittest` (BigCodeBench): "pass", "fail", "timeout".
- An error while loading, or one that no test owns: fail.
- A complete report: fail if a test failed or raised, else pass. So skips, expected failures, unexpected
  successes and zero tests are passes: they are there.
- Killed for CPU or wall time: timeout. Killed for another limit: fail. Its memory limit bounds the address
  space: an allocation fails in the program, which is not killed.
- Ended in any other way before it had reported: timeout.

`function_check` (HumanEval): "passed", "timed out", "failed: <text of the exception>".
- A test that did not pass, the first one, or an error that no test owns: failed.
- A complete report: passed.
- Ended in any other way: timed out.

`script` and `stdio` have no original: the words are BigCodeBench's, and a pass is the verdict PASSED.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sandbox_server.model import FunctionCheckTask, Limit, Stage, TestStatus, UnittestTask, Verdict

if TYPE_CHECKING:
    from sandbox_server.model import Facts, SyntaxFault, Task

_STATUS_CHARACTERS = 4096
_FAILING = frozenset({TestStatus.FAILED, TestStatus.ERROR, TestStatus.WRONG_OUTPUT, TestStatus.UNSPECIFIED})
_UNJUDGED = frozenset({Verdict.SANDBOX_ERROR, Verdict.CANCELLED})
_ON_TIME = frozenset({Limit.CPU, Limit.WALL})
# What `screening` and the agent put in front of what is no SyntaxError; str() of the exception has it not.
_TYPE = re.compile(r"\A\w+Error: ")

_PASSES = frozenset({"pass", "passed"})


def status_after_run(task: Task, facts: Facts, verdict: Verdict) -> str:
    """Returns the original harness's word for a sample that ran.

    Args:
        task: What was run.
        facts: What became of it.
        verdict: What it was judged to be. Tells whether it was judged at all, and decides for kinds that no
            original harness knows.
    """
    if verdict in _UNJUDGED:
        return "timed out" if isinstance(task, FunctionCheckTask) else "timeout"
    if isinstance(task, UnittestTask):
        return _bigcodebench(facts)
    if isinstance(task, FunctionCheckTask):
        return _humaneval(facts)
    if facts.limit in _ON_TIME:
        return "timeout"
    return "pass" if verdict is Verdict.PASSED else "fail"


def status_without_run(task: Task, fault: SyntaxFault | None) -> str:
    """Returns the original harness's word for a sample that was not run: it does not parse, or is refused."""
    if not isinstance(task, FunctionCheckTask):
        return "fail"
    if fault is None:
        return "failed: refused by policy"
    if fault.line:
        return _cut(f"failed: {fault.message} (<string>, line {fault.line})")
    return _cut(f"failed: {_TYPE.sub('', fault.message, count=1)}")


def is_pass(status: str) -> bool:
    """Tells whether a word counts as a pass."""
    return status in _PASSES


def _bigcodebench(facts: Facts) -> str:
    if facts.error is not None:
        return "fail"
    if facts.stage is Stage.COMPLETE:
        return "fail" if any(result.status in _FAILING for result in facts.results) else "pass"
    if facts.limit is not None and facts.limit not in _ON_TIME:
        return "fail"
    return "timeout"


def _humaneval(facts: Facts) -> str:
    for result in facts.results:
        if result.status is not TestStatus.PASSED:
            return _cut(f"failed: {result.message}")
    if facts.error is not None:
        return _cut(f"failed: {facts.error.message}")
    return "passed" if facts.stage is Stage.COMPLETE else "timed out"


def _cut(status: str) -> str:
    # A lone surrogate can be written to no file and no wire.
    shown = status[:_STATUS_CHARACTERS]
    return shown if shown.isascii() else shown.encode("utf-8", "replace").decode("utf-8")
