from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cupel_client.gen import sandbox_service_pb2 as pb

from sandbox_server.errors import LimitAboveMaximumError
from sandbox_server.model import (
    CapturedOutput,
    Facts,
    File,
    Finding,
    Judgement,
    Limits,
    MemorySource,
    Outcome,
    RaisedError,
    SandboxFault,
    Screening,
    Stage,
    SyntaxFault,
    TestResult,
    TestStatus,
    Timeline,
    Usage,
    Verdict,
)
from sandbox_server.wire import write_outcome, write_refusal, write_screening

JUDGEMENT = Judgement(
    Verdict.FAILED_ASSERTION,
    "test_a failed",
    False,
    "fail",
    False,
    ("failed: test_a",),
    (
        TestResult("test_a", TestStatus.FAILED, "trace", timedelta(milliseconds=1500)),
        TestResult("test_b", TestStatus.NOT_RUN),
    ),
)
FACTS = Facts(
    stage=Stage.COMPLETE,
    exit_code=0,
    stdout=CapturedOutput(b"\xff", b"tail", 99),
    usage=Usage(timedelta(seconds=1.25), timedelta(0), timedelta(days=1, seconds=2), 4096, MemorySource.CGROUP, 2),
    files=(File("out", b"x"),),
    tampering=("odd",),
)
OUTCOME = Outcome(
    "s",
    2,
    FACTS,
    JUDGEMENT,
    (Finding("process-exit", "os._exit", 3, 5, True),),
    Limits(),
    Timeline(received_ns=1_700_000_000_123_456_789),
    "local",
    "sha256:1",
    "local/cell",
    ("seccomp",),
)


def test_every_word_of_the_model_has_its_value_on_the_wire() -> None:
    for verdict in Verdict:
        judged = write_outcome(replace(OUTCOME, judgement=replace(JUDGEMENT, verdict=verdict)))
        assert pb.Verdict.Name(judged.verdict) == f"VERDICT_{verdict.name}"
        assert judged.verdict == verdict.value
    for status in TestStatus:
        tested = write_outcome(replace(OUTCOME, judgement=replace(JUDGEMENT, results=(TestResult("t", status),))))
        assert pb.TestStatus.Name(tested.tests[0].status) == f"TEST_STATUS_{status.name}"


def test_writes_an_outcome() -> None:
    message = write_outcome(OUTCOME)
    assert (message.sample_id, message.attempt) == ("s", 2)
    assert (message.compat.status, list(message.strict.reasons)) == ("fail", ["failed: test_a"])
    assert message.tests[0].duration.ToTimedelta() == timedelta(milliseconds=1500)
    assert message.findings[0].rejects
    assert (message.exit.HasField("code"), message.exit.code, message.exit.HasField("signal")) == (
        True,
        0,
        False,
    )
    assert (message.stdout.head, message.stdout.tail, message.stdout.total_bytes) == (b"\xff", b"tail", 99)
    assert message.usage.wall.ToTimedelta() == timedelta(days=1, seconds=2)
    assert message.usage.memory_source == pb.MEMORY_SOURCE_CGROUP
    assert message.timeline.received.ToNanoseconds() == 1_700_000_000_123_456_789
    assert not message.timeline.HasField("ended")
    assert message.limits.wall_time.seconds == 60
    assert (message.environment, message.environment_digest) == ("local", "sha256:1")
    assert list(message.missing_walls) == ["seccomp"]
    assert (message.files[0].path, list(message.tampering)) == ("out", ["odd"])
    assert not message.HasField("sandbox_fault")


def test_how_a_process_ended_is_absent_when_there_was_none() -> None:
    assert not write_outcome(replace(OUTCOME, facts=Facts())).HasField("exit")
    killed = write_outcome(replace(OUTCOME, facts=Facts(exit_signal=9)))
    assert (killed.exit.HasField("code"), killed.exit.signal) == (False, 9)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (RaisedError("ValueError", "no", "Traceback ..."), "Traceback ..."),
        (RaisedError("ValueError", "no"), "ValueError: no"),
        (None, ""),
    ],
)
def test_the_error_is_a_trace_or_a_message(error: Any, text: str) -> None:
    assert write_outcome(replace(OUTCOME, facts=replace(FACTS, error=error))).error == text


def test_a_fault_is_present_exactly_with_its_verdict() -> None:
    fault = replace(FACTS, sandbox_fault=SandboxFault("WORKER_LOST", "gone"))
    assert not write_outcome(replace(OUTCOME, facts=fault)).HasField("sandbox_fault")
    judged = replace(JUDGEMENT, verdict=Verdict.SANDBOX_ERROR)
    assert write_outcome(replace(OUTCOME, facts=fault, judgement=judged)).sandbox_fault.reason == "WORKER_LOST"
    assert write_outcome(replace(OUTCOME, judgement=judged)).sandbox_fault.reason == "UNKNOWN"


LARGE_TESTS = tuple(TestResult(f"{number}" * 200, TestStatus.FAILED, "x" * 200) for number in range(20_000))
LARGE_FINDINGS = tuple(Finding("r", "m" * 100, 1, 1, False) for _ in range(50_000))


@pytest.mark.parametrize(
    ("outcome", "left_out"),
    [
        (replace(OUTCOME, facts=replace(FACTS, files=(File("f", b"x" * (4 << 20)),))), "files"),
        (replace(OUTCOME, findings=LARGE_FINDINGS), "findings after"),
        (replace(OUTCOME, judgement=replace(JUDGEMENT, results=LARGE_TESTS)), "tests after"),
        (
            replace(OUTCOME, judgement=replace(JUDGEMENT, strict_reasons=("x" * 1000,) * 10_000)),
            "what else",
        ),
        (replace(OUTCOME, judgement=replace(JUDGEMENT, explanation="x" * (5 << 20))), "what else"),
        (replace(OUTCOME, facts=replace(FACTS, tampering=("x" * 4000,) * 5_000)), "what else"),
    ],
)
def test_an_outcome_always_fits_a_message_and_says_what_it_left_out(outcome: Outcome, left_out: str) -> None:
    message = write_outcome(outcome)
    assert message.ByteSize() <= 4 << 20
    assert left_out in message.explanation
    assert message.verdict == pb.VERDICT_FAILED_ASSERTION


def test_writes_a_refusal() -> None:
    error = LimitAboveMaximumError("too much", field="limits.processes", maximum="9")
    message = write_refusal("s" * 600, 3, error, 3)
    assert (len(message.sample_id), message.attempt, message.code) == (512, 3, 3)
    assert (message.reason, message.metadata["maximum"]) == ("LIMIT_ABOVE_MAXIMUM", "9")


def test_writes_a_screening() -> None:
    seen = Screening(SyntaxFault("bad", 2, 1), False, (Finding("r", "m", 1, 1, True),), None)
    message = write_screening(seen, "3.11.7")
    assert (message.syntax_fault.line, message.entry_point_found, message.rejected_by_strict) == (
        2,
        False,
        True,
    )
    assert message.python_version == "3.11.7"
    assert not write_screening(replace(seen, syntax_fault=None), "").HasField("syntax_fault")
