"""Translates the orchestrator's words to and from the contract; the only module that knows the stubs.

Pure, but for the two calls that hang on a channel. Outcomes are kept in the contract's JSON mapping, so that
result files hold what the server said, whole; `json_format.MessageToDict` takes 55 µs for one (measured), a
mapping by hand 17 µs, which is no reason to keep one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cupel_client.gen import sandbox_service_pb2 as pb
from google.protobuf import json_format

from orchestrator.model import FunctionCheckTask, Sample, ScriptTask, UnittestTask

if TYPE_CHECKING:
    import grpc.aio

MAXIMUM_REQUEST_BYTES = (8 << 20) - 1024
"""Servers end the whole stream for a larger message, so that one sample would take its neighbours down."""

_SERVICE = pb.DESCRIPTOR.services_by_name["SandboxService"].full_name
_EXECUTE = f"/{_SERVICE}/Execute"
_GET_CAPABILITIES = f"/{_SERVICE}/GetCapabilities"
_COMPARISONS = {
    "exact": pb.COMPARISON_MODE_EXACT,
    "tokens": pb.COMPARISON_MODE_TOKENS,
    "floats": pb.COMPARISON_MODE_FLOATS,
}


class UnsendableError(ValueError):
    """Raised when a sample cannot be put into a message; `field` names what is at fault."""

    def __init__(self, message: str, *, field: str, reason: str) -> None:
        super().__init__(message)
        self.field = field
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Credit:
    """The server takes so many more samples."""

    samples: int


@dataclass(frozen=True, slots=True)
class Answer:
    """A sample was judged."""

    sample_id: str
    outcome: dict[str, Any]
    """The outcome in the contract's JSON mapping."""


@dataclass(frozen=True, slots=True)
class Drain:
    """The server is about to stop."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A sample was not taken, because of its request."""

    sample_id: str
    reason: str
    message: str
    field: str | None = None


Event = Credit | Answer | Drain | Refusal | None
"""What a server says on a stream; None is a message of a kind that this version does not know."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a server said of itself."""

    server_version: str
    runtime: str
    environments: dict[str, str]
    """Digests by name."""
    missing_walls: dict[str, str]
    """What does not stand, and why."""
    slots: int


def execute(channel: grpc.aio.Channel) -> grpc.aio.StreamStreamMultiCallable[bytes, Event]:
    """Returns the Execute call of a channel: takes requests of `encode`, gives events."""
    return channel.stream_stream(_EXECUTE, request_serializer=bytes, response_deserializer=_decode)


async def get_capabilities(channel: grpc.aio.Channel, timeout_s: float) -> Capabilities:
    """Asks a server what it has and can do.

    Raises:
        grpc.aio.AioRpcError: The server did not answer.
    """
    call: grpc.aio.UnaryUnaryMultiCallable[pb.GetCapabilitiesRequest, pb.GetCapabilitiesResponse]
    call = channel.unary_unary(
        _GET_CAPABILITIES,
        request_serializer=pb.GetCapabilitiesRequest.SerializeToString,
        response_deserializer=pb.GetCapabilitiesResponse.FromString,
    )
    answer = await call(pb.GetCapabilitiesRequest(), timeout=timeout_s)
    return Capabilities(
        server_version=answer.server_version,
        runtime=answer.runtime,
        environments={environment.name: environment.digest for environment in answer.environments},
        missing_walls={wall.name: wall.detail for wall in answer.walls if not wall.standing},
        slots=answer.slots,
    )


def encode(sample: Sample, attempt: int) -> bytes:
    """Returns the request that sends a sample.

    Raises:
        UnsendableError: It holds text that is not Unicode, or is larger than any server takes.
    """
    try:
        data = pb.ExecuteRequest(sample=_sample(sample, attempt)).SerializeToString()
    except (UnicodeEncodeError, ValueError) as error:
        raise UnsendableError(
            f"the sample cannot be sent: {error}. Is there half a surrogate pair (\\ud800 to \\udfff) in it?",
            field="solution",
            reason="FIELD_INVALID",
        ) from error
    if len(data) > MAXIMUM_REQUEST_BYTES:
        raise UnsendableError(
            f"the sample takes {len(data):,} bytes, no server takes more than {MAXIMUM_REQUEST_BYTES:,}",
            field="solution",
            reason="SOURCE_TOO_LARGE",
        )
    return data


def _sample(sample: Sample, attempt: int) -> pb.Sample:
    """Returns the message of a sample."""
    message = pb.Sample(
        sample_id=sample.sample_id,
        attempt=attempt,
        environment=sample.environment,
        isolation=pb.ISOLATION_CONTAINER if sample.isolation == "container" else pb.ISOLATION_CELL,
        seed=sample.seed,
        policy=pb.POLICY_STRICT if sample.strict_policy else pb.POLICY_UNSPECIFIED,
        environment_variables=dict(sample.environment_variables),
        packages=[
            pb.PackageRequirement(module=one.module, package=one.package, versions=one.versions)
            for one in sample.packages
        ],
    )
    limits = sample.limits
    for name in (
        "memory_bytes",
        "processes",
        "output_bytes",
        "captured_bytes",
        "disk_bytes",
        "file_size_bytes",
        "open_files",
    ):
        value = getattr(limits, name)
        if value is not None:
            setattr(message.limits, name, value)
    if limits.cpu_time_s is not None:
        message.limits.cpu_time.FromNanoseconds(round(limits.cpu_time_s * 1e9))
    if limits.wall_time_s is not None:
        message.limits.wall_time.FromNanoseconds(round(limits.wall_time_s * 1e9))
    task = sample.task
    if isinstance(task, UnittestTask):
        message.unittest.CopyFrom(
            pb.UnittestTask(
                solution=task.solution,
                test=task.test,
                test_class=task.test_class,
                entry_point=task.entry_point,
                module_name=task.module_name,
                disabled_names=task.disabled_names,
            )
        )
    elif isinstance(task, FunctionCheckTask):
        message.function_check.CopyFrom(
            pb.FunctionCheckTask(
                solution=task.solution,
                entry_point=task.entry_point,
                check=task.check,
                assertions=task.assertions,
                disabled_names=task.disabled_names,
            )
        )
    elif isinstance(task, ScriptTask):
        message.script.CopyFrom(pb.ScriptTask(source=task.source, arguments=task.arguments, stdin=task.stdin))
    else:
        message.stdio.CopyFrom(
            pb.StdioTask(
                source=task.source,
                cases=[pb.StdioCase(stdin=case.stdin, expected_stdout=case.expected_stdout) for case in task.cases],
                comparison=pb.Comparison(
                    mode=_COMPARISONS[task.comparison],
                    absolute_tolerance=task.absolute_tolerance,
                    relative_tolerance=task.relative_tolerance,
                ),
                stop_at_first_failure=task.stop_at_first_failure,
            )
        )
    return message


def _decode(data: bytes) -> Event:
    """Returns what a server said."""
    response = pb.ExecuteResponse.FromString(data)
    kind = response.WhichOneof("message")
    if kind == "outcome":
        return Answer(response.outcome.sample_id, outcome_json(response.outcome))
    if kind == "credit":
        return Credit(response.credit.samples)
    if kind == "drain":
        return Drain()
    if kind == "refusal":
        refusal = response.refusal
        return Refusal(refusal.sample_id, refusal.reason, refusal.message, refusal.metadata.get("field"))
    return None


def sandbox_error(sample_id: str, attempt: int, reason: str, message: str) -> dict[str, Any]:
    """Returns an outcome of the orchestrator's own making, for a sample that no server could judge."""
    return outcome_json(
        pb.Outcome(
            sample_id=sample_id,
            attempt=attempt,
            verdict=pb.VERDICT_SANDBOX_ERROR,
            explanation=message,
            compat=pb.CompatView(passed=False, status="fail"),
            strict=pb.StrictView(passed=False, reasons=[f"sandbox error: {reason}"]),
            sandbox_fault=pb.SandboxFault(reason=reason, message=message),
        )
    )


def outcome_json(outcome: pb.Outcome) -> dict[str, Any]:
    """Returns an outcome in the contract's JSON mapping, with the proto's own field names."""
    return json_format.MessageToDict(outcome, preserving_proto_field_name=True)
