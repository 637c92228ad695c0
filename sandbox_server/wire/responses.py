"""The model's records to the contract's messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cupel_client.gen import sandbox_service_pb2 as pb
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from sandbox_server.model import Isolation, MemorySource, TestStatus, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import timedelta

    from sandbox_server.errors import RequestError
    from sandbox_server.model import (
        CapturedOutput,
        Environment,
        Facts,
        Finding,
        Limits,
        Outcome,
        Sample,
        Screening,
        Timeline,
        Usage,
        Wall,
    )

_STATUSES = {status: pb.TestStatus.Value(f"TEST_STATUS_{status.name}") for status in TestStatus}
_VERDICTS = {verdict: pb.Verdict.Value(f"VERDICT_{verdict.name}") for verdict in Verdict}
_SOURCES = {source: pb.MemorySource.Value(f"MEMORY_SOURCE_{source.name}") for source in MemorySource}
_ISOLATIONS = {isolation: pb.Isolation.Value(f"ISOLATION_{isolation.name}") for isolation in Isolation}
_NANOS = 1_000_000_000
# gRPC clients take 4 MiB a message unless told otherwise, and a larger one costs them the whole stream.
_MAXIMUM_OUTCOME_BYTES = 3 << 20
_TESTS_KEPT, _FINDINGS_KEPT, _CHARACTERS_KEPT = 5_000, 1_000, 100


def write_outcome(outcome: Outcome) -> pb.Outcome:
    """Returns an outcome as the contract's message, which says so if something was too large for it."""
    facts, judgement = outcome.facts, outcome.judgement
    message = pb.Outcome(
        sample_id=outcome.sample_id,
        attempt=outcome.attempt,
        verdict=_VERDICTS[judgement.verdict],
        explanation=judgement.explanation,
        compat=pb.CompatView(passed=judgement.compat_passed, status=judgement.compat_status),
        strict=pb.StrictView(passed=judgement.strict_passed, reasons=judgement.strict_reasons),
        tests=[
            pb.TestResult(
                test_id=result.test_id,
                status=_STATUSES[result.status],
                detail=result.detail,
                duration=_duration(result.duration),
            )
            for result in judgement.results
        ],
        findings=_findings(outcome.findings),
        exit=_exit(facts),
        stdout=_captured(facts.stdout),
        stderr=_captured(facts.stderr),
        usage=_usage(facts.usage),
        timeline=_timeline(outcome.timeline),
        limits=write_limits(outcome.limits),
        environment=outcome.environment,
        environment_digest=outcome.environment_digest,
        isolation=outcome.isolation,
        missing_walls=outcome.missing_walls,
        tampering=facts.tampering,
        files=[pb.File(path=file.path, content=file.content) for file in facts.files],
        error=_error(facts),
        sandbox_fault=_fault(outcome),
    )
    if message.ByteSize() > _MAXIMUM_OUTCOME_BYTES:
        _shrink(message)
    return message


def write_failure(sample: Sample, message: str) -> pb.Outcome:
    """Returns the outcome of a sample for which the server could not even write one."""
    return pb.Outcome(
        sample_id=sample.sample_id,
        attempt=sample.attempt,
        verdict=pb.VERDICT_SANDBOX_ERROR,
        explanation=f"The sandbox failed: {message}",
        limits=write_limits(sample.limits),
        environment=sample.environment,
        sandbox_fault=pb.SandboxFault(reason="INTERNAL", message=message),
    )


def write_limits(limits: Limits) -> pb.Limits:
    """Returns limits as the contract's message."""
    return pb.Limits(
        cpu_time=_duration(limits.cpu_time),
        wall_time=_duration(limits.wall_time),
        memory_bytes=limits.memory_bytes,
        processes=limits.processes,
        output_bytes=limits.output_bytes,
        captured_bytes=limits.captured_bytes,
        disk_bytes=limits.disk_bytes,
        file_size_bytes=limits.file_size_bytes,
        open_files=limits.open_files,
    )


def write_refusal(sample_id: str, attempt: int, error: RequestError, code: int) -> pb.Refusal:
    """Returns the refusal of a sample as the contract's message.

    Args:
        sample_id: The refused sample, as it was sent.
        attempt: Its attempt, as it was sent.
        error: Why it was refused.
        code: The number of the error's gRPC status code.
    """
    return pb.Refusal(
        sample_id=sample_id[:512],
        attempt=attempt,
        code=code,
        reason=error.reason,
        message=error.message,
        metadata=error.metadata,
    )


def write_screening(screening: Screening, python_version: str) -> pb.ScreenResponse:
    """Returns what a screening saw as the contract's message."""
    fault = screening.syntax_fault
    return pb.ScreenResponse(
        syntax_fault=(
            None if fault is None else pb.SyntaxFault(message=fault.message, line=fault.line, column=fault.column)
        ),
        entry_point_found=screening.entry_point_found,
        findings=_findings(screening.findings),
        rejected_by_strict=screening.rejected_by_strict,
        python_version=python_version,
    )


def write_capabilities(
    *,
    server_version: str,
    runtime: str,
    environments: Sequence[Environment],
    walls: Sequence[Wall],
    default_limits: Limits,
    maximum_limits: Limits,
    maximum_source_bytes: int,
    slots: int,
    isolations: Iterable[Isolation],
    draining: bool,
) -> pb.GetCapabilitiesResponse:
    """Returns what a server has and can do as the contract's message."""
    return pb.GetCapabilitiesResponse(
        server_version=server_version,
        runtime=runtime,
        environments=[
            pb.Environment(
                name=environment.name,
                digest=environment.digest,
                python_version=environment.python_version,
                preload_profiles=environment.preload_profiles,
                packages=[
                    pb.Package(name=name, version=version) for name, version in sorted(environment.packages.items())
                ],
            )
            for environment in environments
        ],
        walls=[pb.Wall(name=wall.name, standing=wall.standing, detail=wall.detail) for wall in walls],
        default_limits=write_limits(default_limits),
        maximum_limits=write_limits(maximum_limits),
        maximum_source_bytes=maximum_source_bytes,
        slots=slots,
        isolations=[_ISOLATIONS[isolation] for isolation in isolations],
        draining=draining,
    )


def write_drain(grace: timedelta) -> pb.Drain:
    """Returns the news that a server is about to stop as the contract's message."""
    return pb.Drain(grace=_duration(grace))


def _shrink(message: pb.Outcome) -> None:
    """Takes out what a sample can make large, dearest last, and says so in the explanation."""
    size = message.ByteSize()
    left_out = []
    if message.files:
        message.ClearField("files")
        left_out.append("files")
    if message.ByteSize() > _MAXIMUM_OUTCOME_BYTES:
        del message.findings[_FINDINGS_KEPT:]
        left_out.append(f"findings after the first {_FINDINGS_KEPT}")
    if message.ByteSize() > _MAXIMUM_OUTCOME_BYTES:
        del message.tests[_TESTS_KEPT:]
        for test in message.tests:
            test.test_id = test.test_id[:_CHARACTERS_KEPT]
            test.detail = test.detail[:_CHARACTERS_KEPT]
        left_out.append(f"tests after the first {_TESTS_KEPT}, and most of their details")
    if message.ByteSize() > _MAXIMUM_OUTCOME_BYTES:
        reasons = [reason[:_CHARACTERS_KEPT] for reason in message.strict.reasons[:_TESTS_KEPT]]
        message.strict.ClearField("reasons")
        message.strict.reasons.extend(reasons)
        tampering = [words[:_CHARACTERS_KEPT] for words in message.tampering[:_TESTS_KEPT]]
        message.ClearField("tampering")
        message.tampering.extend(tampering)
        message.error = message.error[: 1 << 16]
        message.explanation = message.explanation[: 1 << 16]
        left_out.append("most of what else was said")
    message.explanation += f" (Left out, because the outcome had {size} bytes: {'; '.join(left_out)}.)"


def _findings(findings: Iterable[Finding]) -> list[pb.Finding]:
    return [
        pb.Finding(
            rule=finding.rule,
            message=finding.message,
            line=finding.line,
            column=finding.column,
            rejects=finding.rejects,
        )
        for finding in findings
    ]


def _exit(facts: Facts) -> pb.ProcessExit | None:
    if facts.exit_code is not None:
        return pb.ProcessExit(code=facts.exit_code)
    if facts.exit_signal is not None:
        return pb.ProcessExit(signal=facts.exit_signal)
    return None


def _captured(output: CapturedOutput) -> pb.CapturedOutput:
    return pb.CapturedOutput(head=output.head, tail=output.tail, total_bytes=output.total_bytes)


def _usage(usage: Usage) -> pb.Usage:
    return pb.Usage(
        cpu_user=_duration(usage.cpu_user),
        cpu_system=_duration(usage.cpu_system),
        wall=_duration(usage.wall),
        peak_memory_bytes=usage.peak_memory_bytes,
        memory_source=_SOURCES[usage.memory_source],
        peak_processes=usage.peak_processes,
    )


def _timeline(timeline: Timeline) -> pb.Timeline:
    return pb.Timeline(
        received=_timestamp(timeline.received_ns),
        screened=_timestamp(timeline.screened_ns),
        placed=_timestamp(timeline.placed_ns),
        forked=_timestamp(timeline.forked_ns),
        started=_timestamp(timeline.started_ns),
        ended=_timestamp(timeline.ended_ns),
    )


def _error(facts: Facts) -> str:
    error = facts.error
    if error is None:
        return ""
    return error.traceback or f"{error.type_name}: {error.message}"


def _fault(outcome: Outcome) -> pb.SandboxFault | None:
    if outcome.judgement.verdict is not Verdict.SANDBOX_ERROR:
        return None
    fault = outcome.facts.sandbox_fault
    if fault is None:
        return pb.SandboxFault(reason="UNKNOWN", message=outcome.judgement.explanation)
    return pb.SandboxFault(reason=fault.reason, message=fault.message)


def _duration(duration: timedelta) -> Duration:
    return Duration(seconds=duration.days * 86400 + duration.seconds, nanos=duration.microseconds * 1000)


def _timestamp(nanoseconds: int) -> Timestamp | None:
    if not nanoseconds:
        return None
    seconds, nanos = divmod(nanoseconds, _NANOS)
    return Timestamp(seconds=seconds, nanos=nanos)
