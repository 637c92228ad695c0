"""A rote sandbox server as a process: what becomes of a sample stands in its source.

`python rote_process.py SOCKET [DELAY_S]`. Prints "ready". `# fail`, `# sandbox-error`, `# refuse`, `# hang`,
`# kill-server`, `# lies` (compat passes, strict does not) say what comes of a sample; all others pass.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING

import grpc.aio
from cupel_client.gen import sandbox_service_pb2 as pb
from cupel_client.gen import sandbox_service_pb2_grpc as pb_grpc

from tests.unit.orchestrator.rote_server import RoteServer, failed_sandbox, passed, refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.unit.orchestrator.rote_server import Context


def answer(sample: pb.Sample) -> list[pb.ExecuteResponse] | None:
    """Does what the sample says."""
    source = sample.function_check.solution
    if "# kill-server" in source:
        os.kill(os.getpid(), signal.SIGKILL)
    if "# sandbox-error" in source:
        return [failed_sandbox(sample)]
    if "# refuse" in source:
        return [refused(sample, 3, "LIMIT_ABOVE_MAXIMUM", field="limits.memory_bytes")]
    if "# hang" in source:
        return []
    response = passed(sample)
    outcome = response.outcome
    outcome.missing_walls.append("cgroup")
    outcome.compat.status = "passed"
    if "# fail" in source:
        outcome.verdict = pb.VERDICT_FAILED_ASSERTION
        outcome.explanation = "\x1b[2J[red]no"
        outcome.compat.CopyFrom(pb.CompatView(passed=False, status="failed: no"))
        outcome.strict.passed = False
        outcome.tests.add(test_id="check", status=pb.TEST_STATUS_FAILED, detail="no")
    if "# lies" in source:
        outcome.verdict = pb.VERDICT_TAMPERED
        outcome.strict.CopyFrom(pb.StrictView(passed=False, reasons=["zero tests"]))
    return [response]


class SlowRoteServer(RoteServer):
    """Takes its time over each sample."""

    delay_s = 0.0

    async def Execute(  # noqa: N802 - the contract's name
        self, request_iterator: AsyncIterator[pb.ExecuteRequest], context: Context
    ) -> AsyncIterator[pb.ExecuteResponse]:
        """Answers by rote, after a while."""
        async for response in super().Execute(request_iterator, context):
            if response.WhichOneof("message") == "outcome":
                await asyncio.sleep(self.delay_s)
            yield response


async def main(path: str, delay_s: float) -> None:
    """Serves until it is killed."""
    rote = SlowRoteServer(answer, credit=4)
    rote.delay_s = delay_s
    server = grpc.aio.server()
    pb_grpc.add_SandboxServiceServicer_to_server(rote, server)
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 0.0))
