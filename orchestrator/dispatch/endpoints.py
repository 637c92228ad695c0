"""Where sandbox servers are: addresses, and the seam to whatever knows of servers.

What servers are asked to do is not here: see `lane`. The server that a run starts itself is in `embedded`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import grpc.aio

from orchestrator import wire
from orchestrator.errors import NoSandboxError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

_PROBE_TIMEOUT_S = 10.0
_FIRST_DELAY_S = 0.1
_LONGEST_DELAY_S = 5.0
_HOST_AND_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})")
_CHANNEL_OPTIONS = (
    # Servers bound outcomes; gRPC's own 4 MiB would end the stream for one with many failing tests.
    ("grpc.max_receive_message_length", 32 << 20),
    # Servers take pings more often than every 5 minutes for abuse.
    ("grpc.keepalive_time_ms", 310_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # One server, one lane, one connection: channels to an address must not share one.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One sandbox server."""

    address: str
    """As the user named it; for messages."""
    target: str
    """As gRPC dials it."""

    def channel(self) -> grpc.aio.Channel:
        """Returns a new channel to the server."""
        # A Unix socket has no host name; gRPC would send a percent-encoded path, which some refuse.
        authority = (("grpc.default_authority", "localhost"),) if self.target.startswith("unix:") else ()
        return grpc.aio.insecure_channel(self.target, options=(*_CHANNEL_OPTIONS, *authority))


class EndpointSource(Protocol):
    """Knows which sandbox servers there are, and what to do when one is lost."""

    async def open(self) -> Sequence[Endpoint]:
        """Returns the servers, started where that is this source's task.

        Raises:
            errors.NoSandboxError: There is none.
        """

    async def revive(self, endpoint: Endpoint, failures: int, reason: str) -> None:
        """Returns when a lost server is worth another try.

        Args:
            endpoint: The server.
            failures: How often in a row it was lost without having answered anything in between.
            reason: What the last loss looked like.

        Raises:
            errors.NoSandboxError: It is gone for good.
        """

    async def close(self) -> None:
        """Leaves nothing behind of what `open` and `revive` started."""


def parse_addresses(text: str) -> list[str]:
    """Returns the addresses of a comma-separated list, checked.

    Raises:
        errors.UsageError: One of them is neither, or there is none.
    """
    addresses = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not addresses:
        raise UsageError("--sandbox names no server; give unix:PATH or host:port, several with commas between")
    for address in addresses:
        if address.startswith("unix:"):
            if not address.removeprefix("unix:"):
                raise UsageError(f"--sandbox: {address!r} lacks the path of the socket; give unix:PATH")
            continue
        match = _HOST_AND_PORT.fullmatch(address)
        if match is None or not 0 < int(match["port"]) < 65536:
            raise UsageError(f"--sandbox: {address!r} is neither unix:PATH nor host:port")
    return addresses


class FixedEndpoints:
    """Servers that somebody else runs, at addresses that do not change.

    A name with several addresses (a headless Kubernetes service) is one server for each: a gRPC channel would
    hold on to one of them.
    """

    def __init__(self, addresses: Sequence[str], patience_s: float = 30.0) -> None:
        self._addresses = addresses
        self._patience_s = patience_s

    async def open(self) -> Sequence[Endpoint]:
        """Returns the servers behind the addresses."""
        found: list[Endpoint] = []
        for address in self._addresses:
            found.extend(await _resolve(address))
        return found

    async def revive(self, endpoint: Endpoint, failures: int, reason: str) -> None:
        """Waits a while, longer each time; gives a server up that has not come back in the time allowed."""
        delays = [min(_FIRST_DELAY_S * 2**turn, _LONGEST_DELAY_S) for turn in range(max(failures, 1))]
        if sum(delays) > self._patience_s:
            raise NoSandboxError(f"sandbox server {endpoint.address}: gave up after {self._patience_s:g} s: {reason}")
        await asyncio.sleep(delays[-1])

    async def close(self) -> None:
        """Leaves the servers to whoever runs them."""


async def _resolve(address: str) -> list[Endpoint]:
    """Returns one endpoint for each machine behind an address."""
    match = _HOST_AND_PORT.fullmatch(address)
    if match is None or address.startswith("unix:"):
        return [Endpoint(address, address)]
    host, port = match["host"].strip("[]"), int(match["port"])
    try:
        rows = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise NoSandboxError(f"--sandbox {address}: the name {host!r} is not known: {error}") from error
    machines = list(dict.fromkeys(str(row[4][0]) for row in rows))
    if len(machines) == 1 or all(ipaddress.ip_address(machine).is_loopback for machine in machines):
        return [Endpoint(address, address)]
    named = ((machine, f"[{machine}]" if ":" in machine else machine) for machine in machines)
    return [Endpoint(f"{address} ({machine})", f"{quoted}:{port}") for machine, quoted in named]


async def survey(endpoints: Sequence[Endpoint], environment: str) -> dict[str, wire.Capabilities]:
    """Asks every server what it can do, before anything is sent.

    Returns:
        Capabilities by address, of those servers that answered.

    Raises:
        errors.NoSandboxError: None answers, or none of those that do has the environment.
    """
    answers = await asyncio.gather(*(_ask(endpoint) for endpoint in endpoints))
    found = {
        endpoint.address: answer
        for endpoint, answer in zip(endpoints, answers, strict=True)
        if isinstance(answer, wire.Capabilities)
    }
    if not found:
        faults = "; ".join(f"{endpoint.address}: {answer}" for endpoint, answer in zip(endpoints, answers, strict=True))
        raise NoSandboxError(f"no sandbox server answers: {faults}. Is it running (cupel-sandbox serve)?")
    if environment and not any(environment in each.environments for each in found.values()):
        known = sorted({name for each in found.values() for name in each.environments})
        raise NoSandboxError(f"--environment: no sandbox server has {environment!r}; there are: {', '.join(known)}")
    return found


async def _ask(endpoint: Endpoint) -> wire.Capabilities | str:
    """Returns what a server can do, or why it does not say."""
    channel = endpoint.channel()
    try:
        return await wire.get_capabilities(channel, _PROBE_TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        return f"{error.code().name}: {error.details()}"
    finally:
        await channel.close()
