"""A sandbox server that is asked nothing and answers by rote, over a real Unix socket."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc.aio
from cupel_client.gen import sandbox_service_pb2 as pb
from cupel_client.gen import sandbox_service_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from typing import Any

    Context = grpc.aio.ServicerContext[Any, Any]


def passed(sample: pb.Sample) -> pb.ExecuteResponse:
    """Answers that a sample passed."""
    return pb.ExecuteResponse(
        outcome=pb.Outcome(
            sample_id=sample.sample_id,
            attempt=sample.attempt,
            verdict=pb.VERDICT_PASSED,
            compat=pb.CompatView(passed=True, status="pass"),
            strict=pb.StrictView(passed=True),
            limits=sample.limits,
        )
    )


def failed_sandbox(sample: pb.Sample) -> pb.ExecuteResponse:
    """Answers that the server failed."""
    return pb.ExecuteResponse(
        outcome=pb.Outcome(
            sample_id=sample.sample_id,
            attempt=sample.attempt,
            verdict=pb.VERDICT_SANDBOX_ERROR,
            sandbox_fault=pb.SandboxFault(reason="WORKER_LOST", message="gone"),
        )
    )


def refused(sample: pb.Sample, code: int, reason: str, **metadata: str) -> pb.ExecuteResponse:
    """Refuses a sample."""
    refusal = pb.Refusal(sample_id=sample.sample_id, code=code, reason=reason, message="refused", metadata=metadata)
    return pb.ExecuteResponse(refusal=refusal)


Answers = list[pb.ExecuteResponse]


@dataclass
class RoteServer(pb_grpc.SandboxServiceServicer):
    """Keeps the books on what it is sent; `answer` says what comes back.

    `answer` may return several messages, none, or None, which ends the stream as a crash would.
    """

    answer: Callable[[pb.Sample], Answers | None] = lambda sample: [passed(sample)]
    credit: int = 8
    hold_until: int = 0
    """Answers nothing before so many samples are in flight at once."""
    environments: tuple[str, ...] = ("local",)
    seen: Counter[str] = field(default_factory=Counter)
    attempts: dict[str, list[int]] = field(default_factory=dict)
    streams: int = 0
    most_unanswered: int = 0
    overdrawn: bool = False

    async def Execute(  # noqa: N802 - the contract's name
        self, request_iterator: AsyncIterator[pb.ExecuteRequest], context: Context
    ) -> AsyncIterator[pb.ExecuteResponse]:
        """Answers each sample by rote."""
        self.streams += 1
        yield pb.ExecuteResponse(credit=pb.Credit(samples=self.credit))
        held: list[pb.Sample] = []
        async for request in request_iterator:
            sample = request.sample
            self.seen[sample.sample_id] += 1
            self.attempts.setdefault(sample.sample_id, []).append(sample.attempt)
            held.append(sample)
            self.most_unanswered = max(self.most_unanswered, len(held))
            self.overdrawn |= len(held) > self.credit
            if len(held) < self.hold_until:
                continue
            for one in held:
                answers = self.answer(one)
                if answers is None:
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
                else:
                    for response in answers:
                        yield response
            held.clear()

    async def ExecuteOne(  # noqa: N802 - the contract's name
        self,
        request: pb.ExecuteOneRequest,  # noqa: ARG002 - the servicer's signature
        context: Context,
    ) -> pb.ExecuteOneResponse:
        """Is not what the orchestrator calls."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "by stream only")

    async def Screen(  # noqa: N802 - the contract's name
        self,
        request: pb.ScreenRequest,  # noqa: ARG002 - the servicer's signature
        context: Context,
    ) -> pb.ScreenResponse:
        """Is not what the orchestrator calls."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "by stream only")

    async def GetCapabilities(  # noqa: N802 - the contract's name
        self,
        request: pb.GetCapabilitiesRequest,  # noqa: ARG002 - the servicer's signature
        context: Context,  # noqa: ARG002 - the servicer's signature
    ) -> pb.GetCapabilitiesResponse:
        """Tells of one environment and a wall that does not stand."""
        return pb.GetCapabilitiesResponse(
            server_version="0",
            runtime="rote",
            slots=self.credit,
            environments=[pb.Environment(name=name) for name in self.environments],
            walls=[pb.Wall(name="seccomp", standing=True), pb.Wall(name="cgroup", detail="read-only")],
        )
