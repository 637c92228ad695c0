from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from sandbox_server import images
from sandbox_server.cli import main
from sandbox_server.errors import EngineUnavailableError
from sandbox_server.images import recipe
from sandbox_server.runtimes.docker import building
from tests.unit.sandbox_server.images.fakes import FakeEngine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_VARIABLES = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "IMAGES_NETWORK",
)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    for variable in _VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    fake = FakeEngine(
        files={"/opt/cupel/requirements.lock": b"six==1.17.0\n", "/opt/cupel/env/pyvenv.cfg": b"version = 3.11.2\n"}
    )
    fake.put("some:base")

    @contextlib.contextmanager
    def connected() -> Iterator[FakeEngine]:
        yield fake

    monkeypatch.setattr(building, "connected", connected)
    return fake


def test_without_names_all_are_built_and_told(engine: FakeEngine) -> None:
    done = CliRunner().invoke(main, ["images", "build", "--base-image", "some:base"])
    assert done.exit_code == 0
    tags = [build.tag for build in engine.builds if build.tag]
    assert tags == [f"cupel/{name}:latest" for name in recipe.names()]
    assert [line.split()[0] for line in done.stdout.splitlines()] == tags
    assert "Step 1/1" in done.stderr


def test_what_the_machine_needs_is_taken_from_options_and_variables(
    engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ca.pem").write_bytes(b"certificates")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("PIP_INDEX_URL", "http://index/simple")
    arguments = ["images", "build", "python", "--base-image", "some:base", "--network", "host", "--no-cache", "--quiet"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0
    first = engine.builds[0]
    assert first.files["ca-bundle.pem"] == b"certificates"
    assert first.arguments == {"BASE_IMAGE": "some:base", "PIP_INDEX_URL": "http://index/simple"}
    assert (first.network, first.use_cache) == ("host", False)
    assert done.stderr == ""


def test_an_environment_is_derived(engine: FakeEngine) -> None:
    engine.put("cupel/python:latest", {"io.cupel.definition": recipe.load("python").definition.as_json()})
    arguments = ["images", "build", "--from", "python", "--packages", "six==1.17.0,attrs", "--name", "more"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0
    assert engine.builds[0].files["requirements.txt"] == b"six==1.17.0\nattrs\n"
    assert done.stdout.startswith("cupel/more:latest ")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--from", "python"], 2, "belong together"),
        (["--packages", "six"], 2, "belong together"),
        (["--name", "x"], 2, "belong together"),
        (["python", "--from", "python", "--packages", "six", "--name", "x"], 2, "leave out NAME"),
        (["--from", "python", "--packages", "s x", "--name", "x"], 2, "'s x' is no requirement"),
        (["--from", "absent", "--packages", "six", "--name", "x"], 1, "there is no image cupel/absent:latest"),
        (["python", "nosuch"], 2, "there is no recipe for 'nosuch'"),
        (["--ca-bundle", "/nosuch/file"], 2, "does not exist"),
        (["python", "--base-image", "no:such"], 1, "cannot pull no:such"),
    ],
)
def test_what_is_asked_wrongly_is_told_and_builds_nothing(
    engine: FakeEngine, arguments: list[str], code: int, told: str
) -> None:
    done = CliRunner().invoke(main, ["images", "build", *arguments])
    assert done.exit_code == code
    assert told in done.stderr
    assert "Traceback" not in done.output
    assert engine.builds == []


def test_a_failed_build_ends_with_1_and_pips_words(engine: FakeEngine) -> None:
    engine.put("cupel/python:latest", {"io.cupel.definition": recipe.load("python").definition.as_json()})
    engine.fails = ("ERROR: No matching distribution found for nosuch",)
    done = CliRunner().invoke(main, ["images", "build", "--from", "python", "--packages", "nosuch", "--name", "x"])
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-2:] == [
        "cupel-sandbox: cupel/x:latest was not built:",
        "ERROR: No matching distribution found for nosuch",
    ]


def test_images_are_listed_for_people_and_for_programs(engine: FakeEngine) -> None:
    empty = CliRunner().invoke(main, ["images", "list"])
    assert "No images yet" in empty.stdout
    images.build(engine, "python", base_image="some:base")
    listed = CliRunner().invoke(main, ["images", "list"])
    head, row = listed.stdout.splitlines()
    assert head.split() == ["name", "tag", "id", "size", "python", "packages", "agent"]
    assert row.split()[:2] == ["python", "cupel/python:latest"]
    assert row.endswith("up to date")
    as_json = json.loads(CliRunner().invoke(main, ["images", "list", "--json"]).stdout)
    assert [(one["name"], one["packages"]) for one in as_json["images"]] == [("python", 1)]


@pytest.mark.parametrize("arguments", [["build"], ["list"]])
def test_without_an_engine_the_command_says_so(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def connect() -> building.ImageEngine:
        raise EngineUnavailableError("no Docker engine answers: refused")

    monkeypatch.setattr(building.ImageEngine, "connect", connect)
    done = CliRunner().invoke(main, ["images", *arguments])
    assert done.exit_code == 4
    assert "no Docker engine answers" in done.stderr
