"""Which containers count as left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from sandbox_server.errors import EngineUnavailableError, WorkerStartError
from sandbox_server.runtimes.docker import labels, reaper
from sandbox_server.runtimes.docker.engine import Listed
from sandbox_server.runtimes.docker.reaper import Owner, Reaper, is_left

NOW = 1_000_000.0
YOUNG, OLD = NOW - 60, NOW - 3600


def listed(owner: str | None, state: str = "running", created_s: float = YOUNG, container_id: str = "1") -> Listed:
    marks = {labels.WORKER: "cells"} | ({labels.SERVER: owner} if owner is not None else {})
    return Listed(container_id, marks, state, created_s)


@pytest.fixture(scope="module")
def me() -> Owner:
    return Owner.this_process()


def test_a_label_reads_as_it_was_written(me: Owner) -> None:
    assert Owner.of(me.label()) == me


def test_each_runtime_of_a_process_has_a_label_of_its_own(me: Owner) -> None:
    other = Owner.this_process()
    assert other.label() != me.label()
    assert other.lives
    assert me.lives


@pytest.mark.parametrize("label", ["", "{", "[]", "null", "{}", '{"host": "a", "boot": "b", "pid": "x"}'])
def test_a_label_that_nobody_wrote_names_no_owner(label: str) -> None:
    assert Owner.of(label) is None


def test_a_label_of_an_earlier_version_is_read(me: Owner) -> None:
    fields = json.loads(me.label())
    del fields["runtime"]
    assert Owner.of(json.dumps(fields)) == replace(me, runtime="")


@pytest.mark.parametrize("state", ["running", "created", "exited", "dead"])
@pytest.mark.parametrize("created_s", [YOUNG, OLD])
def test_of_a_server_that_lives_nothing_is_left(me: Owner, state: str, created_s: float) -> None:
    assert not is_left(listed(me.label(), state, created_s), NOW)


@pytest.mark.parametrize("state", ["running", "created", "exited", "dead"])
@pytest.mark.parametrize("created_s", [YOUNG, OLD])
def test_of_a_server_that_is_dead_all_is_left(me: Owner, state: str, created_s: float) -> None:
    # The same number, another process: it was given again.
    reused = replace(me, started=me.started + 1)
    assert is_left(listed(reused.label(), state, created_s), NOW)


@pytest.mark.parametrize(
    ("state", "created_s", "expected"),
    [("running", OLD, "kept"), ("created", YOUNG, "kept"), ("created", OLD, "left"), ("exited", OLD, "left")],
)
@pytest.mark.parametrize("whose", ["another host's", "another boot's", "another namespace's", "unreadable", "absent"])
def test_of_a_server_that_cannot_be_asked_what_lies_idle_for_long(
    me: Owner, whose: str, state: str, created_s: float, expected: str
) -> None:
    owners = {
        "another host's": replace(me, host="elsewhere", started=0).label(),
        "another boot's": replace(me, boot="earlier", started=0).label(),
        "another namespace's": replace(me, pid_namespace=1, started=0).label(),
        "unreadable": "{",
        "absent": None,
    }
    assert is_left(listed(owners[whose], state, created_s), NOW) == (expected == "left")


def test_a_process_that_ended_is_dead_although_nobody_has_looked(me: Owner) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = reaper._started(child.pid)
    assert started is not None
    owner = replace(me, pid=child.pid, started=started)
    assert reaper._started(child.pid) == owner.started
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and keeps its number
    assert owner.lives is False
    child.communicate()
    assert owner.lives is False


class FakeEngine:
    """Lists what it is given, and notes what is to go."""

    def __init__(self, *containers: Listed) -> None:
        self.listed = list(containers)
        self.removed: list[str] = []
        self.refuses: dict[str, Exception] = {}

    async def containers(self) -> list[Listed]:
        return self.listed

    async def remove(self, container_id: str) -> None:
        if container_id in self.refuses:
            raise self.refuses[container_id]
        self.removed.append(container_id)


def reaper_of(engine: FakeEngine, owner: Owner, held: set[str]) -> Reaper:
    return Reaper(engine, owner.label(), lambda: held)  # type: ignore[arg-type] # as much of an engine as it needs


async def test_goes_on_where_one_cannot_be_removed(me: Owner) -> None:
    dead = replace(me, started=me.started + 1).label()
    engine = FakeEngine(*(listed(dead, container_id=number) for number in "123"))
    engine.refuses["2"] = WorkerStartError("busy")
    assert await reaper_of(engine, me, set()).reap() == 2
    assert engine.removed == ["1", "3"]


async def test_gives_up_where_the_engine_is_gone(me: Owner) -> None:
    dead = replace(me, started=me.started + 1).label()
    engine = FakeEngine(*(listed(dead, container_id=number) for number in "123"))
    engine.refuses["1"] = EngineUnavailableError("gone")
    with pytest.raises(EngineUnavailableError):
        await reaper_of(engine, me, set()).reap()
    assert engine.removed == []


async def test_removes_of_its_own_what_has_been_nobodys_for_long(me: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    clock = SimpleNamespace(monotonic=lambda: now, time=lambda: NOW)
    monkeypatch.setattr("sandbox_server.runtimes.docker.reaper.time", clock)
    sibling = replace(me, runtime="another").label()
    engine = FakeEngine(
        listed(me.label(), container_id="worker"), listed(me.label(), "created", container_id="lost"),
        listed(sibling, container_id="sibling"),
    )  # fmt: skip
    held = {"worker"}
    one = reaper_of(engine, me, held)
    assert await one.reap() == 0, "its creation may still be under way"
    now += 59
    assert await one.reap() == 0
    held.add("lost")  # the engine had answered late
    now += 59
    assert await one.reap() == 0
    held.remove("lost")
    assert await one.reap() == 0
    now += 61
    assert await one.reap() == 1
    assert engine.removed == ["lost"]
