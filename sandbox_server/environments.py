"""Which environment and which preload profile a sample gets. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, assert_never

from sandbox_server.model import FunctionCheckTask, ScriptTask, StdioTask, UnittestTask

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sandbox_server.model import Task

NO_PROFILE = "none"


def sources_of(task: Task) -> tuple[str, ...]:
    """Returns the program texts of a task: the sample's own first, then those that judge it."""
    if isinstance(task, FunctionCheckTask):
        return (task.solution, task.check, *task.assertions)
    if isinstance(task, UnittestTask):
        return (task.solution, task.test)
    if isinstance(task, ScriptTask | StdioTask):
        return (task.source,)
    assert_never(task)


class Profiles:
    """Chooses a preload profile by what a sample imports.

    A wrong choice costs time and never a verdict: a module that is not preloaded is imported in the cell.

    Args:
        modules: The modules of each profile. The first profile that has one of a sample's modules is taken.
    """

    def __init__(self, modules: Mapping[str, Sequence[str]]) -> None:
        self._patterns = [(name, _imports_any(names)) for name, names in modules.items() if names]

    def choose(self, task: Task, loaded: Iterable[str]) -> str:
        """Returns the profile for a task, among those that a worker has loaded, or "none"."""
        if not self._patterns:
            return NO_PROFILE
        available = frozenset(loaded)
        for name, pattern in self._patterns:
            if name in available and any(pattern.search(source) for source in sources_of(task)):
                return name
        return NO_PROFILE


def _imports_any(modules: Sequence[str]) -> re.Pattern[str]:
    # A look at the text, not a parse: it runs for each sample and may be wrong.
    names = "|".join(sorted({re.escape(module.partition(".")[0]) for module in modules}))
    return re.compile(rf"^[ \t]*(?:from|import)[ \t]+(?:[\w., \t]*[, \t])?(?:{names})\b", re.MULTILINE)
