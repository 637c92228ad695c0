from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_server.agent import tree
from sandbox_server.agent.activity import INTERVAL_S, Activity
from sandbox_server.agent.tree import Thread

if TYPE_CHECKING:
    from collections.abc import Iterator

STILL = Thread(0.0, 0.0, "S")


def after(seconds: float) -> float:
    """Returns the clock so long after a cell began at 100 s."""
    return 100.0 + seconds


def test_a_cell_that_uses_nothing_sleeps_and_that_is_told_once() -> None:
    activity = Activity(100.0)
    assert activity.take(after(0.25), 0.0, {7: STILL})
    assert activity.asleep
    assert not activity.take(after(0.5), 0.0, {7: STILL})
    assert activity.asleep


def test_what_a_cell_used_before_it_fell_asleep_does_not_keep_it_awake() -> None:
    activity = Activity(100.0)
    imported = Thread(0.2, 0.0, "S")
    assert not activity.take(after(0.25), 0.2, {7: imported})
    assert activity.take(after(0.5), 0.2, {7: imported})
    assert activity.asleep


def test_a_cell_that_alternates_is_followed() -> None:
    activity = Activity(100.0)
    seen, cpu_s = [], 0.0
    for interval, used_s in enumerate([0.25, 0.0, 0.25, 0.25, 0.0, 0.0], start=1):
        cpu_s += used_s
        activity.take(after(0.25 * interval), cpu_s, {7: Thread(cpu_s, 0.0, "S")})
        seen.append(activity.asleep)
    assert seen == [False, True, False, False, True, True]


def test_a_cell_that_gets_no_cpu_at_all_is_busy() -> None:
    activity = Activity(100.0)
    for interval in range(1, 40):
        # The kernel counts the wait only once it is over: all this time there is nothing but the state.
        assert not activity.take(after(0.25 * interval), 0.0, {7: Thread(0.0, 0.0, "R")})
    assert not activity.asleep


def test_a_cell_that_waits_for_a_cpu_most_of_the_time_is_busy_though_it_blocks_when_looked_at() -> None:
    activity = Activity(100.0)
    for interval in range(1, 40):
        starving = Thread(0.002 * interval, 0.2 * interval, "S")
        assert not activity.take(after(0.25 * interval), 0.01 * (interval // 5), {7: starving})
    assert not activity.asleep


def test_a_thread_beside_one_that_sleeps_keeps_a_cell_awake() -> None:
    activity = Activity(100.0)
    for interval in range(1, 5):
        worker = Thread(0.25 * interval, 0.0, "S")
        assert not activity.take(after(0.25 * interval), 0.0, {7: STILL, 8: worker})
    assert not activity.asleep


def test_children_that_ended_between_two_looks_keep_a_cell_awake() -> None:
    activity = Activity(100.0)
    for interval in range(1, 5):
        assert not activity.take(after(0.25 * interval), 0.2 * interval, {7: STILL})
    assert not activity.asleep


def test_a_process_that_takes_its_cpu_time_with_it_makes_nobody_busy() -> None:
    activity = Activity(100.0)
    activity.take(after(0.25), 5.0, {7: STILL, 8: Thread(5.0, 1.0, "S")})
    assert activity.take(after(0.5), 0.0, {7: STILL})
    assert activity.asleep


@given(
    st.lists(
        st.tuples(st.floats(0.0, 2.0), st.dictionaries(st.integers(1, 4), st.floats(0.0, 2.0), min_size=1)), max_size=20
    )
)
def test_a_cell_with_a_runnable_thread_is_never_asleep(readings: list[tuple[float, dict[int, float]]]) -> None:
    activity = Activity(100.0)
    for interval, (cpu_s, ran) in enumerate(readings, start=1):
        threads = {number: Thread(ran_s, 0.0, "R" if number == min(ran) else "S") for number, ran_s in ran.items()}
        assert not activity.take(after(0.25 * interval), cpu_s, threads)
    assert not activity.asleep


def test_nothing_is_read_in_the_first_interval_and_nothing_of_processes_that_cannot_be_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def read(_pids: list[int]) -> dict[int, Thread]:
        pytest.fail("read /proc")

    monkeypatch.setattr(tree, "threads", read)
    activity = Activity(100.0)
    assert not activity.look(after(0.1), [os.getpid()], 0.0)
    assert not activity.look(after(99.0), [], 0.0)
    assert not activity.asleep


def running(source: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        yield child
        child.kill()


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    yield from running("import time; print(flush=True); time.sleep(1000)")


@pytest.fixture
def spinner() -> Iterator[subprocess.Popen[bytes]]:
    yield from running(
        "import threading\n"
        "def spin():\n    while True: pass\n"
        "threading.Thread(target=spin, daemon=True).start()\nprint(flush=True)\nthreading.Event().wait()"
    )


def looks_until_changed(pid: int, most: int = 100) -> bool:
    """Looks at a real process, as the agent does, until it is said to sleep; returns whether it was."""
    activity = Activity(time.monotonic())
    for _ in itertools.repeat(None, most):
        cpu_s = tree.usage([pid], 0, with_memory=False).cpu_s
        if activity.look(time.monotonic(), [pid], cpu_s):
            return activity.asleep
        time.sleep(INTERVAL_S / 10)
    return False


def test_a_real_process_that_sleeps_is_seen_to(sleeper: subprocess.Popen[bytes]) -> None:
    assert looks_until_changed(sleeper.pid)


def test_a_real_process_with_a_busy_thread_is_not(spinner: subprocess.Popen[bytes]) -> None:
    # Its main thread sleeps; the other one runs or waits for a CPU, however busy the machine is.
    assert not looks_until_changed(spinner.pid, most=50)
    threads = tree.threads([spinner.pid])
    assert len(threads) == 2
    assert threads[spinner.pid].state == "S"


def test_threads_of_a_process_that_is_gone_are_none() -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as child:
        child.wait()
    assert tree.threads([child.pid]) == {}


def test_a_process_that_has_ended_and_waits_to_be_reaped_does_not_sleep() -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert tree.threads([child.pid])[child.pid].state == "Z"
        activity = Activity(100.0)
        assert not activity.look(after(1.0), [child.pid], 0.0)
        assert not activity.asleep
