"""Which preload profile of its environment a sample gets. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, assert_never

from sandbox_server.model import FunctionCheckTask, ScriptTask, StdioTask, UnittestTask

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from sandbox_server.model import Task

NO_PROFILE = "none"
# So large that a sample which does not import them should not have them in its memory.
HEAVY_MODULES = frozenset({"jax", "keras", "tensorflow", "torch", "transformers"})

_WORD = "import"
_IMPORT = re.compile(rf"[ \t]*(?:from[ \t]+(\w+)|{_WORD}[ \t]+([^\n;#]+))")
_FIRST_NAME = re.compile(r"[ \t]*(\w+)")


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
    """Chooses a preload profile of an environment by what a sample imports.

    A wrong choice costs time and never a verdict: a module that is not preloaded is imported in the cell.

    Args:
        modules: The modules of each profile of the environment.
        heavy: Modules that cost every cell of their zygote dearly: a profile that has some is only for samples that
            import one of them.
    """

    def __init__(self, modules: Mapping[str, Sequence[str]], heavy: Collection[str] = HEAVY_MODULES) -> None:
        tops = {name: frozenset(module.partition(".")[0] for module in named) for name, named in modules.items()}
        self._profiles = [(name, have, have & frozenset(heavy)) for name, have in tops.items() if have]
        # Of profiles that cover as much the smaller is the better: each page of a zygote costs its every cell.
        self._profiles.sort(key=lambda profile: len(profile[1]))

    def choose(self, task: Task, loaded: Iterable[str]) -> str:
        """Returns the profile for a task, among those that a worker has loaded, or "none"."""
        if not self._profiles:
            return NO_PROFILE
        imports = frozenset(name for source in sources_of(task) for name in imported_names(source))
        available = frozenset(loaded)
        best, most = NO_PROFILE, 0
        for name, have, heavy in self._profiles:
            covered = len(have & imports)
            if covered > most and (not heavy or heavy & imports) and name in available:
                best, most = name, covered
        return best


def imported_names(source: str) -> Iterator[str]:
    """Yields the top-level names that a source seems to import, some more than once.

    A look at the text, not a parse: it runs for each sample and may be wrong.
    """
    # From one line with the word to the next: a pattern that tries every line takes four times as long.
    at = source.find(_WORD)
    while at >= 0:
        start, end = source.rfind("\n", 0, at) + 1, source.find("\n", at)
        if end < 0:
            end = len(source)
        match = _IMPORT.match(source, start, end)
        if match is not None and match[1]:
            yield match[1]
        elif match is not None:
            yield from (found[1] for found in map(_FIRST_NAME.match, match[2].split(",")) if found is not None)
        at = source.find(_WORD, end)
