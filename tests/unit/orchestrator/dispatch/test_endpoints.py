"""Addresses mean what they say."""

from __future__ import annotations

import asyncio
import socket

import pytest

from orchestrator.dispatch.endpoints import Endpoint, FixedEndpoints, parse_addresses
from orchestrator.errors import NoSandboxError, UsageError


def test_addresses_are_a_list_each_once() -> None:
    text = "unix:/run/a b.sock, host:1, [::1]:65535,host:1,"
    assert parse_addresses(text) == ["unix:/run/a b.sock", "host:1", "[::1]:65535"]


@pytest.mark.parametrize(
    "text", ["", " , ", "host", "host:", "host:0", "host:65536", "unix:", "http://host:1", "a:1:2"]
)
def test_what_is_no_address_is_told(text: str) -> None:
    with pytest.raises(UsageError, match="--sandbox"):
        parse_addresses(text)


async def test_a_socket_and_this_machine_are_one_server_each() -> None:
    found = await FixedEndpoints(["unix:x", "localhost:7", "127.0.0.1:8"]).open()
    assert found == [Endpoint(name, name) for name in ("unix:x", "localhost:7", "127.0.0.1:8")]


async def test_a_name_with_several_machines_is_several_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    async def machines(*_: object, **__: object) -> list[tuple[object, ...]]:
        rows = ["10.0.0.1", "10.0.0.2", "fd00::1", "10.0.0.1"]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (row, 7)) for row in rows]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", machines, raising=False)
    found = await FixedEndpoints(["fleet:7"]).open()
    assert [one.target for one in found] == ["10.0.0.1:7", "10.0.0.2:7", "[fd00::1]:7"]
    assert found[0].address == "fleet:7 (10.0.0.1)"


async def test_a_name_that_is_not_known_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(*_: object, **__: object) -> object:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown, raising=False)
    with pytest.raises(NoSandboxError, match="the name 'fleet' is not known"):
        await FixedEndpoints(["fleet:7"]).open()


async def test_a_lost_server_is_waited_for_longer_each_time_and_then_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waited: list[float] = []

    async def sleep(delay: float) -> None:
        waited.append(delay)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    source = FixedEndpoints([], patience_s=1.0)
    for failures in (1, 2, 3):
        await source.revive(Endpoint("a", "a"), failures, "gone")
    assert waited == [0.1, 0.2, 0.4]
    with pytest.raises(NoSandboxError, match="a: gave up after 1 s: gone"):
        await source.revive(Endpoint("a", "a"), 4, "gone")
