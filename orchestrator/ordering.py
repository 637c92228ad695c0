"""In which order a run's samples are sent: those that may take long go first. Pure; never decides a verdict.

Sleeping costs a server next to nothing, so sleepers that start early sleep while the others are judged; what trains a
network has one core busy for half a minute. Those that start last are all that a run waits for in the end. How long a
sample takes cannot be known from its text, but it can be guessed well enough: a wrong guess costs time only.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

from orchestrator.model import FunctionCheckTask, UnittestTask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from orchestrator.model import Sample, Task

_T = TypeVar("_T")

# time.sleep(2.5), asyncio.sleep(delay), and "sleep 5" in a script that a test writes.
_SLEEP = re.compile(r"(?:\b|\\n)sleep(?:\(\s*|[ ](?=\d))(?P<seconds>\d+(?:\.\d+)?)?")
# timeout=5, run_duration: int = 10
_WAIT = re.compile(r"(?:timeout|duration)(?:\s*:\s*\w+)?\s*=\s*(?P<seconds>\d+(?:\.\d+)?)")
_TRAINING = re.compile(r"\.fit\([^)]*\bepochs\b")
_TEST = re.compile(r"^\s+(?:async\s+)?def\s+test", re.MULTILINE)
_UNKNOWN_S = 1.0
"""What `sleep(delay)` counts for."""
_TRAINING_S = 30.0
"""What training a network counts for: it keeps a core busy, and is no longer than most sleeps that are long."""
_LONGEST_S = 600.0
"""No sample sleeps longer than a server's usual limit lets it."""
_WAIT_SHARE = 0.1
"""What is waited for mostly comes sooner than the longest time that is given to it."""


def likely_extra_s(solution: str, test: str = "") -> float:
    """Guesses how much longer than others a sample takes, asleep or training, in seconds; 0 for nearly all samples.

    Args:
        solution: The program; what sleeps in it counts once for each test.
        test: What judges it.
    """
    training = _TRAINING_S if "epochs" in solution and _TRAINING.search(solution) else 0.0
    if not _may_sleep(solution) and not _may_sleep(test):
        return training
    tests = max(1, len(_TEST.findall(test)))
    return min(_LONGEST_S, training + tests * _asked_s(solution) + _asked_s(test))


def longest_first(items: Iterable[_T], sample_of: Callable[[_T], Sample]) -> list[_T]:
    """Returns items with those in front whose samples likely take long, the longest first; else as they were.

    Args:
        items: What is to be sent.
        sample_of: Assembles the sample of an item. It is called once for each, and nothing of it is kept.
    """
    return sorted(items, key=lambda item: -likely_extra_s(*_texts(sample_of(item).task)))


def _texts(task: Task) -> tuple[str, str]:
    """Returns the program of a task, and what judges it as far as that is a program too."""
    if isinstance(task, UnittestTask):
        return task.solution, task.test
    if isinstance(task, FunctionCheckTask):
        return task.solution, "\n".join((task.check, *task.assertions))
    return task.source, ""


def _may_sleep(text: str) -> bool:
    """Whether a text is worth a closer look: looking for plain words costs a tenth of the patterns."""
    return "sleep" in text or "timeout" in text or "duration" in text


def _asked_s(text: str) -> float:
    sleeps = sum(float(match["seconds"] or _UNKNOWN_S) for match in _SLEEP.finditer(text))
    waits = sum(float(match["seconds"]) for match in _WAIT.finditer(text))
    return sleeps + _WAIT_SHARE * waits
