import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from sandbox_server import doctor as doctor_module
from sandbox_server import life
from sandbox_server.cli import main
from sandbox_server.doctor import Diagnosis, remedy
from sandbox_server.model import Environment, Wall
from sandbox_server.runtimes.local import LocalOptions

STANDING = Wall("seccomp", True, "mount: EPERM")
MISSING = Wall("user_namespace", False, "[bold]EPERM\x1b[31m")


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("CUPEL_SANDBOX_")]:
        monkeypatch.delenv(name)


def diagnosing(monkeypatch: pytest.MonkeyPatch, *walls: Wall) -> None:
    async def diagnose(options: LocalOptions) -> Diagnosis:
        assert options.allow_weak_isolation
        return Diagnosis(Environment("local", "sha256:1", "3.11.7", ("scientific",)), walls, "cgroup")

    monkeypatch.setattr(doctor_module, "diagnose", diagnose)


def test_prints_the_configuration_it_would_serve_with() -> None:
    options = ["--listen", "unix:/x,127.0.0.1:0", "--slots", "3", "--require-wall", "seccomp"]
    result = CliRunner().invoke(main, ["serve", *options, "--allow-weak-isolation", "--print-config"])
    printed = json.loads(result.output)
    assert result.exit_code == 0
    assert (printed["listen"], printed["slots"]) == (["unix:/x", "127.0.0.1:0"], 3)
    assert (printed["required_walls"], printed["allow_weak_isolation"]) == (["seccomp"], True)


@pytest.mark.parametrize(
    ("variable", "named"), [("CUPEL_SANDBOX_SLOTS", "slots"), ("CUPEL_SANDBOX_SLOTZ", "CUPEL_SANDBOX_SLOTZ")]
)
def test_a_variable_that_means_nothing_ends_with_usage(
    monkeypatch: pytest.MonkeyPatch, variable: str, named: str
) -> None:
    monkeypatch.setenv(variable, "many")
    result = CliRunner().invoke(main, ["serve", "--print-config"])
    assert result.exit_code == 2
    assert named in result.output


@pytest.mark.parametrize("address", ["0.0.0.0:0", "nonsense"])
def test_an_address_that_is_refused_ends_with_usage(address: str) -> None:
    result = CliRunner().invoke(main, ["serve", "--runtime", "simulated", "--listen", address])
    assert result.exit_code == 2
    assert address in result.output


def test_an_interpreter_that_is_not_there_ends_without_a_sandbox() -> None:
    result = CliRunner().invoke(
        main, ["serve", "--runtime", "local", "--python", "/nowhere/python", "--listen", "127.0.0.1:0"]
    )
    assert result.exit_code == 4
    assert "/nowhere/python" in result.output


def test_walls_that_are_missing_end_without_a_sandbox_and_say_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = Path(__file__).parent / "runtimes" / "fake_agent.py"
    monkeypatch.setattr(LocalOptions, "command", property(lambda options: (str(options.python), str(fake))))
    monkeypatch.setenv("CUPEL_SANDBOX_HIDDEN_PATHS", "no-network")
    result = CliRunner().invoke(main, ["serve", "--runtime", "local", "--listen", "127.0.0.1:0"])
    assert result.exit_code == 4
    assert "network_namespace" in result.output
    assert "--allow-weak-isolation" in result.output


def test_the_doctor_is_content_when_all_walls_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    diagnosing(monkeypatch, STANDING)
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 0
    assert "all walls stand" in result.output
    assert "3.11.7" in result.output


def test_the_doctor_names_what_is_missing_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    diagnosing(monkeypatch, STANDING, MISSING)
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 1
    assert "missing: user_namespace" in result.output
    assert "\x1b[31m" not in result.output
    told = json.loads(CliRunner().invoke(main, ["doctor", "--json"]).output)
    assert told["healthy"] is False
    assert [wall["standing"] for wall in told["walls"]] == [True, False]
    assert told["walls"][0]["remedy"] == ""
    assert "unprivileged_userns_clone" in told["walls"][1]["remedy"]


def test_what_costs_is_not_imported_before_a_worker_is_on_its_way() -> None:
    later = ("grpc", "google.protobuf", "rich", "sandbox_server.server")
    program = (
        "import sys, click; from sandbox_server.cli import main\n"
        "assert main.get_command(click.Context(main), 'serve').name == 'serve'\n"
        f"print(*[name for name in {later!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []


async def test_a_parent_that_ended_while_the_server_booted_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(life, "PARENT", -1)
    monkeypatch.setattr(life, "die_with_parent", lambda _number: None)  # the tests' own process must not die
    missed: list[bool] = []
    await life._watch_parent(lambda: missed.append(True))
    assert missed == [True]


def test_every_missing_wall_has_a_remedy() -> None:
    for name in ("memory_limit", "seccomp", "own_proc", "unheard_of"):
        assert remedy(Wall(name, False, ""))
