"""Containers and servers killed with samples in flight: nothing is lost, and nothing is left."""

from __future__ import annotations

import os
import secrets
import signal
from typing import TYPE_CHECKING

import pytest
from cupel_client.gen import sandbox_service_pb2 as pb

from sandbox_server.runtimes.docker import labels
from sandbox_server.runtimes.docker.reaper import Owner
from tests.integration.docker.run import Run, children
from tests.integration.docker.served import Served, containers_of, engine_client, possessions, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.docker("python"), pytest.mark.timeout(300)]
SECONDS = 4.0


def name_of_its_own() -> str:
    return f"c{secrets.token_hex(6)}"


def test_samples_of_a_killed_container_are_run_again_and_say_so(tmp_path: Path) -> None:
    with Served(tmp_path) as server:
        first = server.worker
        answers = server.in_flight(name_of_its_own(), 4, SECONDS)
        with engine_client() as client:
            client.api.kill(first)
        outcomes = [answer.result().outcome for answer in answers]
        for outcome in outcomes:
            assert outcome.verdict == pb.VERDICT_PASSED, (outcome.explanation, outcome.error)
            assert "(Run 2: the worker was lost under the run before.)" in outcome.explanation
            assert outcome.stdout.head == b"done\n"
        assert {outcome.sample_id for outcome in outcomes} == {f"s{number}" for number in range(4)}
        assert len(server.events("rerun")) == 4
        assert server.worker != first
        assert "Run 2" not in server.script("print(1)").result().outcome.explanation


def test_containers_killed_in_mid_run_cost_no_sample(tmp_path: Path) -> None:
    run = Run(tmp_path)
    process = run.start("--runtime", "docker", "--environment", "python")
    for count in (100, 200):
        run.reach(count, process)
        (server,) = children(process.pid)
        with engine_client() as client:
            for one in containers_of(server):
                client.api.kill(one.id)
    run.check(process)
    assert containers_of(server) == []


def test_kill_9_of_the_server_leaves_nothing(tmp_path: Path) -> None:
    before = possessions()
    with Served(tmp_path) as server:
        answers = server.in_flight(name_of_its_own(), 4, 100)
        pid = server.process.pid
        server.process.kill()
        for answer in answers:
            assert answer.exception() is not None
        # Their input is closed: nobody has to remove them.
        until(lambda: containers_of(pid) == [])
    with Served(tmp_path / "next") as server:
        assert containers_of(pid) == []
        assert [one.state for one in server.containers] == ["running"]
        assert server.script("print(1)").result().outcome.verdict == pb.VERDICT_PASSED
    assert possessions() == before


def test_kill_9_of_the_embedded_server_in_mid_run(tmp_path: Path) -> None:
    run = Run(tmp_path)
    process = run.start("--runtime", "docker", "--environment", "python")
    run.reach(100, process)
    (first,) = children(process.pid)
    os.kill(first, signal.SIGKILL)
    run.reach(200, process)
    (second,) = children(process.pid)
    run.check(process)
    assert containers_of(first) == []
    assert containers_of(second) == []


def test_sigterm_leaves_nothing(tmp_path: Path) -> None:
    before = possessions()
    with Served(tmp_path, "--drain-grace", "0") as server:
        server.in_flight(name_of_its_own(), 4, 100)
        server.process.terminate()
        assert server.process.wait() == 0
        assert server.containers == []
    assert possessions() == before


def test_sigterm_while_the_server_starts_leaves_nothing(tmp_path: Path) -> None:
    server = Served(tmp_path)
    try:
        until(lambda: server.containers)
        server.process.terminate()
        assert server.process.wait() == 0
        assert server.containers == []
    finally:
        server.end()


@pytest.fixture
def planted() -> Iterator[list[str]]:
    """Ids of containers, removed in the end."""
    ids: list[str] = []
    yield ids
    with engine_client() as client:
        for one in client.api.containers(all=True, filters={"label": "cupel.tests"}):
            client.api.remove_container(one["Id"], force=True)


def test_reaps_what_a_dead_server_left_and_nothing_else(tmp_path: Path, planted: list[str]) -> None:
    me = Owner.this_process()
    dead = Owner(me.host, me.boot, me.pid_namespace, me.pid, me.started + 1)
    elsewhere = Owner("another-host", me.boot, me.pid_namespace, me.pid, me.started + 1)
    owners = {"dead": dead.label(), "alive": me.label(), "elsewhere": elsewhere.label(), "unreadable": "{"}
    with engine_client() as client:
        made = {}
        for name, owner in owners.items():
            marks = {labels.WORKER: "cells", labels.SERVER: owner, "cupel.tests": "planted"}
            made[name] = client.api.create_container("cupel/python", labels=marks)["Id"]
        others = client.api.create_container("cupel/python", labels={"cupel.tests": "not a worker"})["Id"]
        planted.extend([*made.values(), others])
        with Served(tmp_path) as server:
            (reaped,) = [one for one in server.events("container_reaped") if made["dead"].startswith(one["container"])]
            assert reaped["state"] == "created"
        left = {one["Id"] for one in client.api.containers(all=True, filters={"label": "cupel.tests"})}
    assert left == {made["alive"], made["elsewhere"], made["unreadable"], others}
