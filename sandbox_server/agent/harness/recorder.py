"""Turns what unittest says of a test run into results, one message as each test ends.

It is a `TestResult` that also does what a plain one does, since the original harness judges by one.
"""

from __future__ import annotations

import unittest
from typing import TYPE_CHECKING, Any, List, Optional, Tuple

from . import faults, pristine

if TYPE_CHECKING:
    from .channel import Report

__builtins__ = pristine.BUILTINS
__unittest = True

_ID_CHARACTERS = 300
_KEPT_EVENTS = 20
# How bad an event is; the worst one of a test is its status.
_RANKS = {"passed": 0, "skipped": 1, "expected_failure": 2, "unexpected_success": 3, "failed": 4, "error": 5}

_Error = Tuple[Any, Any, Any]


def test_id_of(test: Any) -> str:
    """Returns what a test is called in reports: its method's name, else the last dotted part of its id."""
    name = getattr(test, "_testMethodName", None)
    if type(name) is not str:
        # A class or a module whose fixture failed; BigCodeBench keys its details by this part of the id.
        name = str.rpartition(test.id(), ".")[2]
    return str.__getitem__(name, slice(0, _ID_CHARACTERS))


class Recorder(unittest.TestResult):
    """Reports each test as it ends.

    Args:
        report: Where to report.
        sources: Source texts by file name, for tracebacks.
        flush: Called after each test, to bring out what it printed.
    """

    def __init__(self, report: Report, sources: faults.Sources, flush: Any) -> None:
        super().__init__()
        self._report = report
        self._sources = sources
        self._flush = flush
        self._events: Optional[List[Tuple[str, str, str]]] = None
        self._event_count = 0
        self._started = 0.0
        self._issues = 0

    def startTest(self, test: Any) -> None:  # noqa: N802  # unittest's name
        """Opens a test."""
        super().startTest(test)
        self._events = []
        self._event_count = 0
        self._started = pristine.clock()

    def stopTest(self, test: Any) -> None:  # noqa: N802  # unittest's name
        """Closes a test and reports it."""
        super().stopTest(test)
        if self._events is None:
            return  # Python 3.12.1 closes skipped tests that it never opened; `_add` reported them
        seconds = max(0.0, pristine.clock() - self._started)
        events, self._events = self._events, None
        self._flush()
        if not events:
            # No way through TestCase.run leads here: it was replaced.
            events = [("error", "the test ended without a result", "")]
        status = max((event[0] for event in events), key=_RANKS.__getitem__)
        details = [detail for _, detail, _ in events if detail]
        if self._event_count > len(events):
            details.append("... and %d more" % (self._event_count - len(events)))
        message = next((message for kind, _, message in events if kind == status), "")
        self._report.result(test_id_of(test), status, faults.cut("\n".join(details)), message, seconds)

    def addSuccess(self, test: Any) -> None:  # noqa: N802  # unittest's name
        """Takes a test that passed."""
        super().addSuccess(test)
        self._add(test, "passed")

    def addError(self, test: Any, err: _Error) -> None:  # noqa: N802  # unittest's name
        """Takes an error, of a test or of a class or module fixture."""
        super().addError(test, err)
        self._issues += 1
        self._add(test, "error", err)

    def addFailure(self, test: Any, err: _Error) -> None:  # noqa: N802  # unittest's name
        """Takes a failed assertion."""
        super().addFailure(test, err)
        self._issues += 1
        self._add(test, "failed", err)

    def addSubTest(self, test: Any, subtest: Any, err: Optional[_Error]) -> None:  # noqa: N802  # unittest's name
        """Takes the end of a subtest; a failing one fails its test."""
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._issues += 1
            failed = issubclass(err[0], test.failureException)
            self._add(test, "failed" if failed else "error", err, subtest)

    def addSkip(self, test: Any, reason: str) -> None:  # noqa: N802  # unittest's name
        """Takes a skip, of a test, a subtest or a whole class."""
        super().addSkip(test, reason)
        self._add(test, "skipped", reason=reason)

    def addExpectedFailure(self, test: Any, err: _Error) -> None:  # noqa: N802  # unittest's name
        """Takes a failure that was declared."""
        super().addExpectedFailure(test, err)
        self._add(test, "expected_failure", err)

    def addUnexpectedSuccess(self, test: Any) -> None:  # noqa: N802  # unittest's name
        """Takes a test that passed although declared to fail."""
        super().addUnexpectedSuccess(test)
        self._add(test, "unexpected_success")

    def hidden_issues(self) -> List[str]:
        """Returns a word if reported failures are not in the lists by which the original harness judges."""
        try:
            kept = len(self.failures) + len(self.errors)
        except BaseException:
            kept = 0  # the lists were replaced by something that is none
        return ["TestResult: %d failures were removed from it" % (self._issues - kept)] if kept < self._issues else []

    def _exc_info_to_string(self, err: _Error, test: Any) -> str:  # noqa: ARG002  # unittest's signature
        """Leaves out the text: it may be huge, and `_add` puts a bounded one into the report."""
        return ""

    def _add(self, test: Any, status: str, err: Optional[_Error] = None, subtest: Any = None, reason: str = "") -> None:
        self._event_count += 1
        if self._events is not None and len(self._events) >= _KEPT_EVENTS:
            kept_worst = max(_RANKS[event[0]] for event in self._events)
            if _RANKS[status] <= kept_worst:
                return
        detail, message = "", ""
        if err is not None:
            detail, message = faults.traceback_of(err[1], self._sources), faults.message_of(err[1])
        elif status == "skipped":
            detail = message = faults.head(reason)
        if subtest is not None:
            detail = "%s\n%s" % (_name_of(subtest), detail)
        if self._events is not None:
            self._events.append((status, detail, message))
        else:
            self._report.result(test_id_of(test), status, detail, message, 0.0)


def _name_of(subtest: Any) -> str:
    """Returns how a subtest is described; the repr of its parameters may do anything."""
    try:
        return faults.cut(str(subtest._subDescription()), _ID_CHARACTERS)  # noqa: SLF001  # unittest has no public way
    except BaseException as error:
        return "<subtest: its parameters cannot be shown (%s)>" % faults.type_name(error)
