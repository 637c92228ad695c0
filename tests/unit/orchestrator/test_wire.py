"""Samples and outcomes cross the wire whole."""

from __future__ import annotations

import pytest
from cupel_client.gen import sandbox_service_pb2 as pb
from google.protobuf import json_format

from orchestrator import wire
from orchestrator.model import (
    FunctionCheckTask,
    Limits,
    Package,
    Sample,
    ScriptTask,
    StdioCase,
    StdioTask,
    Task,
    UnittestTask,
)
from orchestrator.outcome import result_of


def sent(task: Task, **attributes: object) -> pb.Sample:
    sample = Sample("T/1#0", "T/1", 0, task, "", **attributes)  # type: ignore[arg-type] # a test's shorthand
    return pb.ExecuteRequest.FromString(wire.encode(sample, 2)).sample


def test_every_field_of_a_sample_is_sent() -> None:
    limits = Limits(0.25, 60.0, 1 << 40, 3, 4, 5, 6, 7, 8)
    message = sent(
        UnittestTask("s", "t", "Tests", "task_func", "mod", ("builtins.exit",)),
        limits=limits,
        environment="science",
        isolation="container",
        seed=-7,
        strict_policy=True,
        environment_variables=(("TZ", "UTC"),),
        packages=(Package("sklearn", "scikit-learn", ">=1.3"), Package("numpy")),
    )
    assert json_format.MessageToDict(message, preserving_proto_field_name=True) == {
        "sample_id": "T/1#0",
        "attempt": 2,
        "environment": "science",
        "isolation": "ISOLATION_CONTAINER",
        "seed": "-7",
        "policy": "POLICY_STRICT",
        "environment_variables": {"TZ": "UTC"},
        "packages": [
            {"module": "sklearn", "package": "scikit-learn", "versions": ">=1.3"},
            {"module": "numpy"},
        ],
        "limits": {
            "cpu_time": "0.250s",
            "wall_time": "60s",
            "memory_bytes": str(1 << 40),
            "processes": 3,
            "output_bytes": "4",
            "captured_bytes": "5",
            "disk_bytes": "6",
            "file_size_bytes": "7",
            "open_files": 8,
        },
        "unittest": {
            "solution": "s",
            "test": "t",
            "test_class": "Tests",
            "entry_point": "task_func",
            "module_name": "mod",
            "disabled_names": ["builtins.exit"],
        },
    }


def test_limits_that_nobody_asked_for_are_left_to_the_server() -> None:
    message = sent(ScriptTask("print(1)", ("a",), b"\x00in"))
    assert not message.HasField("limits")
    assert message.policy == pb.POLICY_UNSPECIFIED
    assert message.script == pb.ScriptTask(source="print(1)", arguments=["a"], stdin=b"\x00in")


def test_the_other_kinds_are_sent() -> None:
    assert sent(FunctionCheckTask("s", "f", "c", ("assert f()",), ("os",))).function_check == pb.FunctionCheckTask(
        solution="s", entry_point="f", check="c", assertions=["assert f()"], disabled_names=["os"]
    )
    stdio = sent(StdioTask("s", (StdioCase(b"1", b"2"),), "floats", 0.5, 0.25, stop_at_first_failure=True)).stdio
    assert stdio == pb.StdioTask(
        source="s",
        cases=[pb.StdioCase(stdin=b"1", expected_stdout=b"2")],
        comparison=pb.Comparison(mode=pb.COMPARISON_MODE_FLOATS, absolute_tolerance=0.5, relative_tolerance=0.25),
        stop_at_first_failure=True,
    )


@pytest.mark.parametrize(("solution", "reason"), [("'\ud800'", "FIELD_INVALID"), ("x" * (9 << 20), "SOURCE_TOO_LARGE")])
def test_what_would_end_the_stream_is_not_sent(solution: str, reason: str) -> None:
    with pytest.raises(wire.UnsendableError) as caught:
        sent(ScriptTask(solution))
    assert caught.value.reason == reason


def outcome(**fields: object) -> pb.Outcome:
    return pb.Outcome(sample_id="T/1#0", attempt=3, **fields)  # type: ignore[arg-type] # a test's shorthand


def test_an_outcome_becomes_json_and_back() -> None:
    whole = outcome(
        verdict=pb.VERDICT_KILLED,
        exit=pb.ProcessExit(code=0),
        stdout=pb.CapturedOutput(head=b"\xff\x00", total_bytes=1 << 40),
        tampering=["x"],
    )
    assert json_format.ParseDict(wire.outcome_json(whole), pb.Outcome()) == whole


def test_a_result_holds_both_views_and_failing_tests() -> None:
    tests = [
        pb.TestResult(test_id="test_a", status=pb.TEST_STATUS_PASSED, detail="fine"),
        pb.TestResult(test_id="test_b", status=pb.TEST_STATUS_FAILED, detail="1 != 2"),
        pb.TestResult(test_id="test_c", status=pb.TEST_STATUS_ERROR, detail="boom"),
        pb.TestResult(test_id="test_d", status=pb.TEST_STATUS_SKIPPED, detail="later"),
    ]
    found = result_of(
        "T/1#0",
        "T/1",
        0,
        wire.outcome_json(
            outcome(
                verdict=pb.VERDICT_FAILED_ASSERTION,
                explanation="no",
                compat=pb.CompatView(passed=False, status="fail"),
                tests=tests,
                error="Traceback",
            )
        ),
    )
    assert (found.verdict, found.attempt, found.compat_status, found.explanation) == (
        "FAILED_ASSERTION",
        3,
        "fail",
        "no",
    )
    assert found.details == {"test_b": "1 != 2", "test_c": "boom", "ALL": "Traceback"}
    assert not found.compat_passed
    assert not found.strict_passed


def test_a_verdict_of_the_future_is_not_a_pass() -> None:
    future = outcome(compat=pb.CompatView(passed=True, status="pass"), strict=pb.StrictView(passed=True))
    future.MergeFromString(b"\x18\x63")  # verdict = 99
    found = result_of("T/1#0", "T/1", 0, wire.outcome_json(future))
    assert (found.verdict, found.compat_passed, found.strict_passed) == ("UNSPECIFIED", False, False)


def test_an_error_of_our_own_making_is_a_sandbox_error() -> None:
    found = result_of("T/1#0", "T/1", 0, wire.sandbox_error("T/1#0", 3, "SERVER_LOST", "gone"))
    assert found.is_sandbox_error
    assert found.outcome["sandbox_fault"] == {"reason": "SERVER_LOST", "message": "gone"}
