"""Serves a rote server over a real Unix socket."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import grpc.aio
import pytest
from cupel_client.gen import sandbox_service_pb2_grpc as pb_grpc

from orchestrator.dispatch.endpoints import Endpoint

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.unit.orchestrator.rote_server import RoteServer


@pytest.fixture
def serve(tmp_path: Path) -> Callable[[RoteServer], contextlib.AbstractAsyncContextManager[Endpoint]]:
    """Serves a rote server on a Unix socket of its own."""

    @contextlib.asynccontextmanager
    async def serving(rote: RoteServer) -> AsyncIterator[Endpoint]:
        server = grpc.aio.server()
        pb_grpc.add_SandboxServiceServicer_to_server(rote, server)
        target = f"unix:{tmp_path}/{id(rote)}"
        server.add_insecure_port(target)
        await server.start()
        try:
            yield Endpoint(f"rote-{id(rote)}", target)
        finally:
            await server.stop(0)

    return serving
