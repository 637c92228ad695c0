"""What all tests share: when a test of walls, or of the shared data, is left out and when that is a failure."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine import LEFT_OUT, leave_out_without_engine

# The harness's tests fork this process, in which other tests have used gRPC: its fork handlers would abort the child,
# which never uses it. Read when grpc is first imported, which is later than this.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
# What `auto` comes to depends on the machine; tests of containers ask for them.
os.environ["CUPEL_SANDBOX_RUNTIME"] = os.environ["CUPEL_RUNTIME"] = "local"
SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@functools.cache
def missing_walls() -> tuple[str, ...]:
    """Returns the walls that this machine forbids, by the doctor's word."""
    done = subprocess.run(
        [sys.executable, "-m", "sandbox_server", "doctor", "--json"],
        env={**os.environ, "CUPEL_SANDBOX_PROFILES": "{}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    try:
        walls = json.loads(done.stdout)["walls"]
    except ValueError as error:
        # Not even a weak worker comes up: that is no missing wall, and must not leave tests out.
        raise AssertionError(f"`cupel-sandbox doctor --json` does not work here: {done.stderr}") from error
    return tuple(wall["name"] for wall in walls if not wall["standing"])


def leave_out_without(needed: tuple[str, ...] = ()) -> None:
    """Leaves the running test out when walls are missing; in CI, where they have to stand, fails it.

    Args:
        needed: The walls that it needs; empty means all.
    """
    missing = [wall for wall in missing_walls() if not needed or wall in needed]
    if not missing:
        return
    reason = f"walls are missing here: {', '.join(missing)} (`cupel-sandbox doctor` tells why)"
    if os.environ.get("CI"):
        pytest.fail(f"{reason}; in CI every wall has to stand", pytrace=False)
    pytest.skip(reason)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("data") and not SHARED_DATA.is_dir():
        pytest.skip("../shared/data is not there")
    marker = item.get_closest_marker("walls")
    if marker is not None:
        leave_out_without(marker.args)
    marker = item.get_closest_marker("docker")
    if marker is not None:
        leave_out_without_engine(*marker.args)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    left_out = [
        report
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple) and "walls are missing here" in report.longrepr[2]
    ]
    if left_out:
        terminalreporter.section("left out for missing walls")
        terminalreporter.line(f"{len(left_out)} tests: {left_out[0].longrepr[2]}")
    no_engine = [
        report
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple) and LEFT_OUT in report.longrepr[2]
    ]
    if no_engine:
        terminalreporter.section("left out for want of Docker")
        terminalreporter.line(f"{len(no_engine)} tests: {no_engine[0].longrepr[2]}")
