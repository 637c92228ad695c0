"""Which fact decides. The first row that applies gives the verdict; nothing below it can make it better.

| row | what is there | verdict |
| --- | --- | --- |
| 1 | a fault of the server's side | SANDBOX_ERROR |
| 2 | the client asked to stop | CANCELLED |
| 3 | frames in the report channel that no harness sends | TAMPERED |
| 4 | a limit for which the supervisor killed the cell | that limit's |
| 5 | a signal: SEGV, ABRT, BUS, ILL, FPE, SYS, TRAP | CRASHED |
|   | XCPU, XFSZ | TIMEOUT_CPU, DISK_LIMIT |
|   | any other | KILLED |
| 6 | neither an exit code nor a signal: nobody saw the end | SANDBOX_ERROR |
| 7 | an error that no test owns (while loading, in a script): it does not compile | SYNTAX_ERROR |
|   | the entry point is not there | NO_ENTRY_POINT |
|   | SystemExit (not in a script) | EXITED_EARLY |
|   | ModuleNotFoundError, MemoryError | IMPORT_MISSING, OUT_OF_MEMORY |
|   | a resource was refused | OUT_OF_MEMORY, DISK_LIMIT, PROCESS_LIMIT |
|   | any other | RUNTIME_ERROR |
| 8 | the report is not complete (`unittest`, `function_check`) | EXITED_EARLY |
| 9 | tests failed: a resource was refused | OUT_OF_MEMORY, DISK_LIMIT, PROCESS_LIMIT |
|   | one raised MemoryError, ModuleNotFoundError | OUT_OF_MEMORY, IMPORT_MISSING |
|   | one failed by an assertion, by its output | FAILED_ASSERTION, WRONG_OUTPUT |
|   | one raised SystemExit (not in `stdio`) | EXITED_EARLY |
|   | all raised other errors | RUNTIME_ERROR |
| 10 | tests without a result, or other tests than declared | TAMPERED |
| 11 | tests skipped, or expected to fail, and `tally` finds no excuse: \
the tests' source never speaks of it | TAMPERED |
|   | it does | EXITED_EARLY (skip), FAILED_ASSERTION |
| 12 | no test passed | EXITED_EARLY |
| 13 | the sample changed the test framework or the builtins | TAMPERED |
| 14 | an exit code other than 0: a resource was refused | OUT_OF_MEMORY, DISK_LIMIT, PROCESS_LIMIT |
|   | none was | RUNTIME_ERROR |
| 15 | nothing of all that | PASSED |

Why so: what the supervisor saw (1 to 6) outranks what the sample's own process said (7 to 13). A sample
that fails keeps the verdict of its failure (9) even if it also changed the framework (10 to 13): cheating
is what turns a failure into a pass. A refused resource explains a failure and never a pass. Where several
tests fail, the environment's part in it (a resource, a module) outranks the program's, and a wrong answer
outranks an error: so the verdict does not hang on the order of the tests.

Two more rows have their place between 13 and 14, and change nothing above: the negative control (a run of
the state after loading, with tests that an honest solution must fail, which passed: TAMPERED), and split
mode (whose results come from a process that the sample never enters, so that 10 to 13 have nothing to
find).
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox_server.model import (
    FunctionCheckTask,
    Limit,
    ScriptTask,
    Stage,
    TestStatus,
    UnittestTask,
    Verdict,
)
from sandbox_server.verdict.tally import changed_by_sample, has_tests
from sandbox_server.verdict.text import exception_type, last_line, raised_line, size

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox_server.model import Facts, Limits, Task, TestResult
    from sandbox_server.verdict.tally import Tally

Decision = tuple[Verdict, str]
"""A verdict and its explanation; the explanation may still hold the sample's own words."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a verdict is made from."""

    task: Task
    limits: Limits
    facts: Facts
    tally: Tally

    @property
    def reports(self) -> bool:
        """Whether the sample's process is to report the results of its tests."""
        return isinstance(self.task, UnittestTask | FunctionCheckTask)


_CRASHES = frozenset({"SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE", "SIGSYS", "SIGTRAP"})
_REFUSED = {"memory": Verdict.OUT_OF_MEMORY, "disk": Verdict.DISK_LIMIT, "processes": Verdict.PROCESS_LIMIT}
_WORST_FIRST = (
    Verdict.OUT_OF_MEMORY,
    Verdict.IMPORT_MISSING,
    Verdict.FAILED_ASSERTION,
    Verdict.WRONG_OUTPUT,
    Verdict.EXITED_EARLY,
    Verdict.RUNTIME_ERROR,
)
_ASKED_WORDS = {
    TestStatus.SKIPPED: "skipped",
    TestStatus.EXPECTED_FAILURE: "failed as if that was expected",
    TestStatus.UNEXPECTED_SUCCESS: "passed although it is declared to fail",
}


def decide(evidence: Evidence) -> Decision:
    """Returns the verdict of a sample that was run, and why."""
    for row in _ROWS:
        decision = row(evidence)
        if decision is not None:
            return decision
    return Verdict.PASSED, _praise(evidence)


def _sandbox_fault(evidence: Evidence) -> Decision | None:
    fault = evidence.facts.sandbox_fault
    if fault is None:
        return None
    return Verdict.SANDBOX_ERROR, f"The server failed ({fault.reason}): {last_line(fault.message)}"


def _cancelled(evidence: Evidence) -> Decision | None:
    return (Verdict.CANCELLED, "The client asked to stop.") if evidence.facts.cancelled else None


def _tampering(evidence: Evidence) -> Decision | None:
    signs = evidence.facts.tampering
    if not signs:
        return None
    return Verdict.TAMPERED, f"Something forged reports in the sample's name: {signs[0]}"


def _limit(evidence: Evidence) -> Decision | None:
    return None if evidence.facts.limit is None else _reached(evidence.facts.limit, evidence.limits)


def _reached(limit: Limit, limits: Limits) -> Decision:
    if limit is Limit.CPU:
        seconds = limits.cpu_time.total_seconds()
        return Verdict.TIMEOUT_CPU, f"Used all of its {seconds:g} s of CPU time."
    if limit is Limit.WALL:
        seconds = limits.wall_time.total_seconds()
        return (
            Verdict.TIMEOUT_WALL,
            f"Was not done after {seconds:g} s by the clock, with CPU time left over.",
        )
    if limit is Limit.MEMORY:
        return Verdict.OUT_OF_MEMORY, f"Used more than its {size(limits.memory_bytes)} of memory."
    if limit is Limit.OUTPUT:
        return Verdict.OUTPUT_LIMIT, f"Wrote more than its {size(limits.output_bytes)} of output."
    if limit is Limit.DISK:
        return Verdict.DISK_LIMIT, (
            f"Wrote more files than its {size(limits.disk_bytes)} of disk hold, or one of more than "
            f"{size(limits.file_size_bytes)}."
        )
    return Verdict.PROCESS_LIMIT, f"Had more than its {limits.processes} processes and threads at once."


def _killed(evidence: Evidence) -> Decision | None:
    number = evidence.facts.exit_signal
    if number is None:
        return None
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    if name == "SIGXCPU":
        return _reached(Limit.CPU, evidence.limits)
    if name == "SIGXFSZ":
        return _reached(Limit.DISK, evidence.limits)
    if name in _CRASHES:
        return Verdict.CRASHED, f"Crashed: its process was ended by {name}."
    return Verdict.KILLED, f"Its process was killed by {name}, and not for a limit."


def _unseen(evidence: Evidence) -> Decision | None:
    if evidence.facts.exit_code is not None:
        return None
    return Verdict.SANDBOX_ERROR, "The server failed: the worker does not say how the sample's process ended."


def _error(evidence: Evidence) -> Decision | None:
    error = evidence.facts.error
    if error is None:
        return None
    said = last_line(f"{error.type_name}: {error.message}") if error.message else last_line(error.type_name)
    when = "While it was loaded" if evidence.facts.stage is Stage.LOADING else "Outside of every test"
    if isinstance(evidence.task, ScriptTask):
        when = "Ended by an error"
    if error.kind == "entry_point":
        return Verdict.NO_ENTRY_POINT, f"Does not define its entry point: {said}"
    if error.kind == "syntax" and evidence.facts.stage is Stage.LOADING:
        return Verdict.SYNTAX_ERROR, f"Does not compile: {said}"
    verdict = _of_exception(error.type_name.rpartition(".")[2], evidence) or _refused(evidence)
    return verdict or Verdict.RUNTIME_ERROR, f"{when}: {said}"


def _of_exception(name: str, evidence: Evidence) -> Verdict | None:
    """Returns the verdict that an exception has of its own, None for an ordinary one."""
    if name == "SystemExit" and evidence.reports:
        return Verdict.EXITED_EARLY
    if name == "ModuleNotFoundError":
        return Verdict.IMPORT_MISSING
    return Verdict.OUT_OF_MEMORY if name.endswith("MemoryError") else None


def _refused(evidence: Evidence) -> Verdict | None:
    for resource, verdict in _REFUSED.items():
        if resource in evidence.facts.refused_resources:
            return verdict
    return None


def _incomplete(evidence: Evidence) -> Decision | None:
    facts = evidence.facts
    if not evidence.reports or facts.stage is Stage.COMPLETE:
        return None
    where = "its tests were done" if facts.stage is Stage.TESTING else "it was loaded"
    return Verdict.EXITED_EARLY, f"Ended with exit code {facts.exit_code} before {where}."


def _failing(evidence: Evidence) -> Decision | None:
    failing = evidence.tally.failing
    if not failing:
        return None
    verdict, shown = _worst(failing, evidence)
    explained = {
        Verdict.DISK_LIMIT: f" after {size(evidence.limits.disk_bytes)} of disk were full",
        Verdict.PROCESS_LIMIT: f" after more than {evidence.limits.processes} processes were refused",
        Verdict.OUT_OF_MEMORY: f" for lack of memory (it has {size(evidence.limits.memory_bytes)})",
    }.get(verdict, "")
    said = _said(shown)
    count = len(evidence.tally.results)
    if count == 1:
        return verdict, f"{shown.test_id} failed{explained}: {said}"
    tests = "tests" if evidence.reports else "cases"
    return verdict, f"{len(failing)} of {count} {tests} failed{explained}, such as {shown.test_id}: {said}"


def _worst(failing: tuple[TestResult, ...], evidence: Evidence) -> tuple[Verdict, TestResult]:
    """Returns the verdict of tests that failed, and the first test that has it."""
    refused = _refused(evidence)
    if refused is not None:
        return refused, failing[0]
    verdicts = [(_of_result(result, evidence), result) for result in failing]
    return min(verdicts, key=lambda pair: _WORST_FIRST.index(pair[0]))


def _of_result(result: TestResult, evidence: Evidence) -> Verdict:
    if result.status is TestStatus.FAILED:
        return Verdict.FAILED_ASSERTION
    if result.status is TestStatus.WRONG_OUTPUT:
        return Verdict.WRONG_OUTPUT
    return _of_exception(exception_type(_said(result)), evidence) or Verdict.RUNTIME_ERROR


def _said(result: TestResult) -> str:
    return raised_line(result.detail, result.message)


def _undeclared(evidence: Evidence) -> Decision | None:
    tally = evidence.tally
    if not has_tests(evidence.task):
        return None
    if tally.unknown:
        return Verdict.TAMPERED, f"Reported a test that is not declared: {tally.unknown[0]}"
    fixtures_skipped = any(result.test_id not in tally.declared for result in tally.unexcused)
    if tally.missing and not fixtures_skipped:
        number = f"{len(tally.missing)} of {len(tally.declared)} declared tests"
        return Verdict.TAMPERED, f"The report is complete and holds nothing of {number}: {tally.missing[0]}"
    return None


def _unexcused(evidence: Evidence) -> Decision | None:
    tally = evidence.tally
    if not tally.unexcused:
        return None
    result = tally.unexcused[0]
    said = f"{result.test_id} {_ASKED_WORDS[result.status]}"
    skipped = result.status is TestStatus.SKIPPED
    spoken_of = tally.asked.mentions_skip if skipped else tally.asked.mentions_expected_failure
    if not spoken_of:
        return Verdict.TAMPERED, f"Made the test framework look away: {said}, which the tests never ask for."
    verdict = Verdict.EXITED_EARLY if skipped else Verdict.FAILED_ASSERTION
    return verdict, f"Not every test was passed: {said}."


def _no_pass(evidence: Evidence) -> Decision | None:
    if not has_tests(evidence.task) or evidence.tally.passed:
        return None
    if evidence.tally.excused:
        return Verdict.EXITED_EARLY, "Every test was skipped or expected to fail, so none judged it."
    return Verdict.EXITED_EARLY, "No test was run, so none judged it."


def _integrity(evidence: Evidence) -> Decision | None:
    for change in evidence.facts.integrity:
        if changed_by_sample(change, evidence.tally.asked):
            return Verdict.TAMPERED, f"Would pass, and changed what judges it: {change}"
    return None


def _exit_code(evidence: Evidence) -> Decision | None:
    code = evidence.facts.exit_code
    if code == 0:
        return None
    return _refused(evidence) or Verdict.RUNTIME_ERROR, f"Ended with exit code {code}."


def _praise(evidence: Evidence) -> str:
    if not has_tests(evidence.task):
        return "Ended by itself with exit code 0."
    passed, excused = evidence.tally.passed, len(evidence.tally.excused)
    tests = ("test" if evidence.reports else "case") + ("s" if passed != 1 else "")
    rest = f"; {excused} left out, as the tests ask" if excused else ""
    return f"Passed {passed} {tests}{rest}."


_ROWS: tuple[Callable[[Evidence], Decision | None], ...] = (
    _sandbox_fault,
    _cancelled,
    _tampering,
    _limit,
    _killed,
    _unseen,
    _error,
    _incomplete,
    _failing,
    _undeclared,
    _unexcused,
    _no_pass,
    _integrity,
    _exit_code,
)
