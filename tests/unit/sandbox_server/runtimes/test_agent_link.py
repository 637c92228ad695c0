import asyncio
import socket
import struct
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sandbox_server.errors import WorkerLostError, WorkerStartError
from sandbox_server.model import Limits, Sample, ScriptTask
from sandbox_server.runtimes.agent_link import AgentLink, Hello
from sandbox_server.runtimes.frames import FrameDecoder, encode

READY = {
    "op": "ready",
    "python": "3.11.7",
    "digest": "d",
    "profiles": [],
    "walls": [],
    "memory_source": "sampled",
}


class Agent:
    """The other end of a link, played by the test."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._decoder = FrameDecoder(64 << 20)
        self._messages: list[dict[str, Any]] = []

    async def hear(self) -> dict[str, Any]:
        while not self._messages:
            self._messages += self._decoder.feed(await self.reader.read(1 << 16))
        return self._messages.pop(0)

    def say(self, **message: Any) -> None:
        self.writer.write(encode(message))


class Pair:
    def __init__(self, link: AgentLink, agent: Agent, lost: list[str], anomalies: list[str]) -> None:
        self.link, self.agent, self.lost, self.anomalies = link, agent, lost, anomalies


@pytest.fixture
async def pair() -> AsyncIterator[Any]:
    ours, theirs = socket.socketpair()
    lost: list[str] = []
    anomalies: list[str] = []
    reader, writer = await asyncio.open_connection(sock=ours)
    agent = Agent(*await asyncio.open_connection(sock=theirs))
    link = AgentLink(reader, writer, on_anomaly=anomalies.append, on_lost=lost.append, cancel_patience_s=0.05)
    opening = asyncio.create_task(link.open(Hello({"p": ["os"]}, cells=2)))
    hello = await agent.hear()
    assert hello == {
        "op": "hello",
        "profiles": {"p": ["os"]},
        "cells": 2,
        "cgroup": "auto",
        "allow_weak": False,
        "visible": [],
        "hidden": [],
    }
    agent.say(**READY)
    await opening
    yield Pair(link, agent, lost, anomalies)
    await link.close()
    agent.writer.close()


def sample(name: str = "s") -> Sample:
    return Sample(name, ScriptTask("pass"), Limits())


async def test_answers_find_their_samples_in_any_order(pair: Pair) -> None:
    runs = [asyncio.create_task(pair.link.run(sample(str(number)), "none")) for number in range(3)]
    cells = [(await pair.agent.hear())["cell"] for _ in runs]
    for cell, code in reversed(list(zip(cells, range(3), strict=True))):
        pair.agent.say(op="facts", cell=cell, sandbox_fault={"reason": f"R{code}", "message": ""}, cancelled=False)
    reasons = [fault.reason for run in runs if (fault := (await run).sandbox_fault)]
    assert reasons == ["R0", "R1", "R2"]
    assert pair.link.in_flight == 0


async def test_a_cancelled_run_sends_cancel_and_waits_for_the_facts(pair: Pair) -> None:
    run = asyncio.create_task(pair.link.run(sample(), "none"))
    cell = (await pair.agent.hear())["cell"]
    run.cancel()
    assert await pair.agent.hear() == {"op": "cancel", "cell": cell}
    assert not run.done()
    pair.agent.say(op="facts", cell=cell, cancelled=True)
    with pytest.raises(asyncio.CancelledError):
        await run
    assert pair.link.in_flight == 0
    assert pair.lost == []


async def test_an_agent_that_does_not_kill_is_lost(pair: Pair) -> None:
    run = asyncio.create_task(pair.link.run(sample(), "none"))
    await pair.agent.hear()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert pair.lost == ["a cancelled cell was not dead after 0.05 s"]
    with pytest.raises(WorkerLostError):
        await pair.link.run(sample(), "none")


async def test_everybody_who_waits_learns_of_the_end(pair: Pair) -> None:
    runs = [asyncio.create_task(pair.link.run(sample(str(number)), "none")) for number in range(3)]
    parse = asyncio.create_task(pair.link.parse("x"))
    await pair.agent.hear()
    pair.agent.writer.close()
    for waiting in (*runs, parse):
        with pytest.raises(WorkerLostError):
            await waiting
    assert len(pair.lost) == 1
    assert pair.link.in_flight == 0


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"op": "dance"},
        {"op": ["facts"]},
        {"op": "facts"},
        {"op": "facts", "cell": "1"},
        {"op": "facts", "cell": True},
        {"op": "facts", "cell": 99},
        {"op": "parsed", "cell": 1},
        {"op": "facts", "cell": 1, "cancelled": "yes"},
        {"op": "activity"},
        {"op": "activity", "cell": 1},
        {"op": "activity", "cell": 1, "asleep": 1},
        {"op": "activity", "cell": 1, "asleep": "true"},
        {"op": "activity", "cell": 99, "asleep": True},
        {"op": "activity", "cell": [1], "asleep": True},
        {"op": "activity", "cell": 1, "asleep": False},
        READY,
    ],
)
async def test_a_frame_that_breaks_the_protocol_breaks_the_link(pair: Pair, message: dict[str, Any]) -> None:
    run = asyncio.create_task(pair.link.run(sample(), "none"))
    assert (await pair.agent.hear())["cell"] == 1
    pair.agent.say(**message)
    with pytest.raises(WorkerLostError, match="broke the protocol"):
        await run
    assert len(pair.lost) == 1


async def test_facts_that_come_twice_break_the_link(pair: Pair) -> None:
    run = asyncio.create_task(pair.link.run(sample(), "none"))
    cell = (await pair.agent.hear())["cell"]
    for _ in range(2):
        pair.agent.say(op="facts", cell=cell, cancelled=True)
    assert (await run).cancelled
    while not pair.lost:  # noqa: ASYNC110 -- a test waits for what it can only look at
        await asyncio.sleep(0)


async def test_activity_is_passed_to_whoever_runs_the_sample(pair: Pair) -> None:
    told: dict[str, list[bool]] = {"a": [], "b": []}
    runs = [asyncio.create_task(pair.link.run(sample(), "none", each.append)) for each in told.values()]
    unwatched = asyncio.create_task(pair.link.run(sample(), "none"))
    first, second, third = [(await pair.agent.hear())["cell"] for _ in range(3)]
    for cell, asleep in ((first, True), (second, True), (third, True), (first, False), (first, True)):
        pair.agent.say(op="activity", cell=cell, asleep=asleep)
    for cell in (first, second, third):
        pair.agent.say(op="facts", cell=cell, cancelled=False, sandbox_fault={"reason": "R", "message": ""})
    await asyncio.gather(*runs, unwatched)
    assert told == {"a": [True, False, True], "b": [True]}


async def test_activity_while_a_cell_is_killed_is_no_breach(pair: Pair) -> None:
    told: list[bool] = []
    run = asyncio.create_task(pair.link.run(sample(), "none", told.append))
    cell = (await pair.agent.hear())["cell"]
    run.cancel()
    assert (await pair.agent.hear())["op"] == "cancel"
    pair.agent.say(op="activity", cell=cell, asleep=True)
    pair.agent.say(op="facts", cell=cell, cancelled=True)
    with pytest.raises(asyncio.CancelledError):
        await run
    assert (told, pair.lost) == ([True], [])


@pytest.mark.parametrize("repeats", [1, 2])
async def test_activity_that_is_no_change_breaks_the_link(pair: Pair, repeats: int) -> None:
    run = asyncio.create_task(pair.link.run(sample(), "none"))
    cell = (await pair.agent.hear())["cell"]
    for asleep in (True, False)[:repeats]:
        pair.agent.say(op="activity", cell=cell, asleep=asleep)
    pair.agent.say(op="activity", cell=cell, asleep=repeats == 1)
    with pytest.raises(WorkerLostError, match="no change"):
        await run


async def test_what_is_only_parsed_has_no_activity(pair: Pair) -> None:
    parse = asyncio.create_task(pair.link.parse("x"))
    cell = (await pair.agent.hear())["cell"]
    pair.agent.say(op="activity", cell=cell, asleep=True)
    with pytest.raises(WorkerLostError, match="does not wait for it"):
        await parse


async def test_an_anomaly_is_passed_on_as_harmless_text(pair: Pair) -> None:
    body = b'{"op":"anomaly","message":"x\\ud800y"}'
    pair.agent.writer.write(struct.pack(">I", len(body)) + body)
    while not pair.anomalies:  # noqa: ASYNC110 -- a test waits for what it can only look at
        await asyncio.sleep(0)
    assert pair.anomalies == ["x?y"]


async def test_a_worker_that_ends_before_it_is_ready_did_not_start() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "pass",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(sys.prefix),
    )
    assert process.stdout is not None
    assert process.stdin is not None
    link = AgentLink(process.stdout, process.stdin, on_anomaly=lambda _words: None, on_lost=lambda _reason: None)
    with pytest.raises(WorkerStartError, match="did not come up"):
        await link.open(Hello())
    await link.close()
    await process.wait()
