"""`cupel evaluate` with the sandbox server that it starts for itself: real cells, real kills.

Weak isolation is allowed: the samples are this project's own, and these tests are about losing processes.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from tests.integration.orchestrator.conftest import Workplace

PASS, FAIL = "    return 1\n", "    return 2\n"
COUNT = 400
WORDS = ("--allow-weak-isolation",)


def children(process_id: int) -> list[int]:
    """Returns the children of a process."""
    text = Path(f"/proc/{process_id}/task/{process_id}/children").read_text()
    return [int(word) for word in text.split()]


def descendants(process_id: int) -> list[int]:
    """Returns everything that descends from a process, as far as it can be seen."""
    found: list[int] = []
    for child in children(process_id):
        try:
            found += [child, *descendants(child)]
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while it was looked at
    return found


def is_alive(process_id: int) -> bool:
    """Returns whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    """Waits until something is so; the test's own timeout bounds it."""
    while not condition():
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.02)


def many(workplace: Workplace) -> None:
    """Writes samples of which one in four fails."""
    workplace.samples([(number % 6, FAIL if number % 4 == 0 else PASS) for number in range(COUNT)])


def check(workplace: Workplace, found: dict[str, Any]) -> None:
    """Checks that every sample counts once, with its own verdict."""
    assert found["verdicts"] == {"PASSED": COUNT * 3 // 4, "FAILED_ASSERTION": COUNT // 4}
    rows = workplace.outcomes()
    assert len({(row["task_id"], row["index"]) for row in rows}) == len(rows) == COUNT
    passed = {row["verdict"] == "VERDICT_PASSED" for row in rows if "return 1" in row["solution"]}
    assert passed == {True}


@pytest.fixture
def reaped() -> Callable[[list[int]], None]:
    """Checks that processes end."""

    def check_all(process_ids: list[int]) -> None:
        wait_for(lambda: not any(map(is_alive, process_ids)))

    return check_all


def test_references_pass_and_nothing_is_left_running(workplace: Workplace, reaped: Callable[..., None]) -> None:
    before = set(descendants(os.getpid()))
    done = workplace.evaluate("--check-gt-only", "--json", "--seed", "3", *WORDS, samples=None)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["pass_at_k"] == {"compat": {"1": 1.0}, "strict": {"1": 1.0}}
    reaped([one for one in descendants(os.getpid()) if one not in before])


def test_kill_9_of_the_server_costs_nothing(workplace: Workplace, reaped: Callable[..., None]) -> None:
    many(workplace)
    process = workplace.start("--json", *WORDS)
    wait_for(lambda: workplace.journaled() >= 30, process)
    (server,) = children(process.pid)
    family = [server, *descendants(server)]
    os.kill(server, signal.SIGKILL)
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    check(workplace, json.loads(output))
    assert workplace.journaled() == COUNT
    reaped(family)


def test_kill_9_of_the_orchestrator_takes_the_server_along_and_the_same_command_goes_on(
    workplace: Workplace, reaped: Callable[..., None]
) -> None:
    many(workplace)
    process = workplace.start(*WORDS)
    wait_for(lambda: workplace.journaled() >= 30, process)
    family = descendants(process.pid)
    process.kill()
    process.communicate()
    reaped(family)
    journaled = workplace.journaled()
    assert journaled < COUNT
    done = workplace.evaluate("--json", *WORDS)
    assert done.returncode == 0, done.stderr
    assert f"{journaled} of them judged before" in done.stderr
    check(workplace, json.loads(done.stdout))
    assert workplace.journaled() == COUNT


def test_an_interruption_leaves_nothing_running(workplace: Workplace, reaped: Callable[..., None]) -> None:
    workplace.samples([PASS, "    while True: pass\n", PASS, PASS, PASS, PASS])
    process = workplace.start(*WORDS)
    wait_for(lambda: workplace.journaled() >= 5, process)
    family = descendants(process.pid)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert re.search(r"5 of 6 samples are judged.*the same command continues", errors)
    reaped(family)


def test_limits_above_the_maximum_are_told_by_file_line_and_field(workplace: Workplace) -> None:
    workplace.samples([PASS] * 6)
    path = workplace.folder / "s.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[3]["limits"] = {"memory_bytes": 1 << 50}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = workplace.evaluate(*WORDS)
    assert done.returncode == 3
    assert "s.jsonl:4: field 'limits.memory_bytes'" in done.stderr
    assert workplace.journaled() == 5
