"""A program that is started as if it were the sandbox server: `--listen ADDR --die-with-parent MODE`.

Modes: `serve`; `fail` (says why, ends); `mute` (never listens); `die` (serves, dies at the first sample).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

import grpc.aio
from cupel_client.gen import sandbox_service_pb2_grpc as pb_grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from tests.unit.orchestrator.rote_server import RoteServer, passed

if TYPE_CHECKING:
    from cupel_client.gen import sandbox_service_pb2 as pb


def die(sample: pb.Sample) -> list[pb.ExecuteResponse]:
    """Dies as by the OOM killer."""
    os.kill(os.getpid(), signal.SIGKILL)
    return [passed(sample)]


async def serve(address: str, mode: str) -> None:
    """Serves until SIGTERM."""
    server = grpc.aio.server()
    pb_grpc.add_SandboxServiceServicer_to_server(RoteServer(die) if mode == "die" else RoteServer(), server)
    checks = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    server.add_insecure_port(address)
    await server.start()
    await checks.set("", health_pb2.HealthCheckResponse.SERVING)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await server.stop(0)


if __name__ == "__main__":
    listen, chosen_address, dies_with_parent, chosen_mode = sys.argv[1:]
    assert (listen, dies_with_parent) == ("--listen", "--die-with-parent")
    sys.stderr.write(f"mode {chosen_mode}\n")
    if chosen_mode == "fail":
        sys.exit("a wall is missing: \x1b[31mseccomp")
    if chosen_mode == "mute":
        time.sleep(1000)
    asyncio.run(serve(chosen_address, chosen_mode))
