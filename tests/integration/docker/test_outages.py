"""An engine that dies and comes back, that has no room, and that has the wrong images: all on one of the test's own."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import subprocess
from typing import TYPE_CHECKING

import pytest
from cupel_client.gen import sandbox_service_pb2 as pb

from sandbox_server.runtimes.docker import labels
from tests.integration.docker.run import Run
from tests.integration.docker.second_engine import IMAGE, SecondEngine, second_engine
from tests.integration.docker.served import Served, containers_of, environment, possessions, serve_command, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.docker("python"), pytest.mark.timeout(400)]
MIB = 1 << 20


@pytest.fixture(scope="module")
def engine() -> Iterator[SecondEngine]:
    with second_engine() as running:
        yield running


def refused(folder: Path, engine: SecondEngine | str, *words: str) -> str:
    """Starts a server that must refuse to; returns what it tells."""
    address = engine if isinstance(engine, str) else engine.address
    done = subprocess.run(
        serve_command(f"unix:{folder}/s.sock", *words),
        env=environment(DOCKER_HOST=address), capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == 4, (done.stdout, done.stderr)
    return done.stderr.splitlines()[-1]


def test_an_engine_that_is_killed_in_mid_run_and_comes_back(engine: SecondEngine, tmp_path: Path) -> None:
    before = possessions(engine.address)
    run = Run(tmp_path)
    process = run.start("--runtime", "docker", "--environment", "python", DOCKER_HOST=engine.address)
    run.reach(100, process)
    engine.kill()
    engine.start()
    run.check(process)
    with contextlib.closing(engine.client) as client:
        assert client.api.containers(all=True) == []
    assert possessions(engine.address) == before


def test_samples_in_flight_survive_an_engine_that_is_killed(engine: SecondEngine, tmp_path: Path) -> None:
    with Served(tmp_path, engine=engine.address) as server:
        answers = server.in_flight(f"c{secrets.token_hex(6)}", 4, 4)
        engine.kill()
        until(lambda: server.events("engine_unavailable"))
        late = server.script("print('late')", "late")
        engine.start()
        for answer in answers:
            outcome = answer.result().outcome
            assert outcome.verdict == pb.VERDICT_PASSED, (outcome.explanation, outcome.error)
            assert "(Run 2: " in outcome.explanation
        assert late.result().outcome.stdout.head == b"late\n"
        assert server.events("engine_available")
        assert len(server.containers) == 1
        pid = server.process.pid
    assert containers_of(pid, engine.address) == []


def test_a_full_disk_is_told_and_waited_for(tmp_path: Path) -> None:
    with second_engine(room_bytes=600 * MIB) as engine, Served(tmp_path, engine=engine.address) as server:
        filler = engine.root / "filler"
        fill(filler)
        with contextlib.closing(engine.client) as client:
            client.api.kill(server.worker)
        until(lambda: server.events("engine_unavailable"))
        late = server.script("print('late')")
        (told, *_) = server.events("engine_unavailable")
        assert "the engine's disk is full" in told["error"]
        assert "docker system prune" in told["error"]
        assert "disk is full" in refused(tmp_path, engine)
        assert not late.done()
        filler.unlink()
        outcome = late.result().outcome
        assert outcome.stdout.head == b"late\n", (outcome.explanation, outcome.error)
        assert len(server.containers) == 1


def fill(path: Path) -> None:
    """Takes all room of a file system, to the last byte."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    assert os.statvfs(path).f_bavail == 0


def test_refuses_to_start_without_the_image_of_an_environment(engine: SecondEngine, tmp_path: Path) -> None:
    told = refused(tmp_path, engine, "--docker-environments", "python,absent")
    assert told == (
        "cupel-sandbox: the engine has no image of absent; it has python. "
        "`cupel-sandbox images build absent` builds what is missing"
    )


def test_refuses_to_start_without_any_engine(tmp_path: Path) -> None:
    told = refused(tmp_path, f"unix://{tmp_path}/no.sock")
    assert told.startswith("cupel-sandbox: cannot ask the engine: no Docker engine answers (")
    assert told.endswith("Is it running, and is DOCKER_HOST right?")


def test_refuses_an_oci_runtime_that_the_engine_lacks(engine: SecondEngine, tmp_path: Path) -> None:
    told = refused(tmp_path, engine, "--docker-oci-runtime", "absent")
    assert "the engine has no OCI runtime 'absent'; it has " in told


def test_auto_is_local_without_an_engine_and_says_why(tmp_path: Path) -> None:
    # Not the docker environment's name: what the local runtime has is what `environment` says.
    with Served(tmp_path, "--runtime", "auto", engine=f"unix://{tmp_path}/no.sock") as server:
        (told,) = server.events("runtime_chosen")
        assert told["runtime"] == "local"
        assert "no Docker engine answers" in told["reason"]


def test_auto_is_docker_where_images_fit_and_local_where_not(engine: SecondEngine, tmp_path: Path) -> None:
    with Served(tmp_path / "fit", "--runtime", "auto", engine=engine.address) as server:
        (told,) = server.events("runtime_chosen")
        assert told["runtime"] == "docker"
        assert len(server.containers) == 1
    with contextlib.closing(engine.client) as client:
        text = f"FROM {IMAGE}\nLABEL {labels.AGENT}=another\n"
        client.images.build(fileobj=io.BytesIO(text.encode()), tag="old", rm=True)
        told_old = refused(tmp_path, engine)
        assert told_old == (
            "cupel-sandbox: the images of python hold the agent of another version; "
            "`cupel-sandbox images build python` renews them"
        )
        with Served(tmp_path / "old", "--runtime", "auto", engine=engine.address) as server:
            (told,) = server.events("runtime_chosen")
            assert told["runtime"] == "local"
            assert "another version" in told["reason"]
        client.images.remove("old")
