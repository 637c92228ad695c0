"""The harness's rehearsal in the zygote: it proves that the harness works, and leaves no trace for a sample to see."""

from __future__ import annotations

import os
import random
import sys
import unittest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sandbox_server.agent import harness
from sandbox_server.agent.harness import function_check, rehearsal

if TYPE_CHECKING:
    from sandbox_server.agent.harness.channel import Channel


def _visible() -> tuple[Any, ...]:
    modules = {name: module for name, module in sys.modules.items() if "harness" not in name}
    hooks = sys.gettrace(), sys.getprofile(), sys.getrecursionlimit()
    return modules, list(sys.argv), list(sys.path), dict(os.environ), hooks, vars(unittest.TestCase).copy()


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_what_a_sample_can_see_is_as_it_was() -> None:
    streams = sys.stdin, sys.stdout, sys.stderr
    random.seed(7)
    expected = random.random()
    random.seed(7)
    before = _visible()
    descriptors = _descriptors()
    harness.prepare(framework=True)
    assert _visible() == before
    assert (sys.stdin, sys.stdout, sys.stderr) == streams
    assert _descriptors() == descriptors
    assert random.random() == expected


def test_a_harness_that_does_not_pass_its_own_sample_is_not_used() -> None:
    with pytest.raises(RuntimeError, match="does not pass its own sample"):
        rehearsal.rehearse(function_check.run, {"check": "def check(candidate):\n    ][\n", "assertions": []})


def test_what_a_kind_raises_is_not_swallowed() -> None:
    main = sys.modules["__main__"]

    def broken(_program: dict[str, Any], _channel: Channel) -> int:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        rehearsal.rehearse(broken, rehearsal.CHECKED)
    assert sys.modules["__main__"] is main
