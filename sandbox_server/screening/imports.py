"""Says which modules a program cannot do without, by reading its import statements."""

from __future__ import annotations

import ast
import functools
from typing import TYPE_CHECKING, assert_never

from sandbox_server.model import FunctionCheckTask, ScriptTask, StdioTask, UnittestTask
from sandbox_server.screening.parsing import parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sandbox_server.model import File, Task

_REMEMBERED_CHARACTERS = 16 << 10
_CATCHES_MISSING = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


def needed(task: Task, tree: ast.Module) -> frozenset[str]:
    """Returns the top-level names of the modules that a task imports, without those of its own files.

    An import that may fail is a wish and no need: one whose failure the program catches, or that only type checkers
    see. What is imported by other means than an import statement is not seen.

    Args:
        task: The task; what of it judges the sample is parsed.
        tree: The sample's own program.
    """
    own = _own_modules(task.files) if isinstance(task, ScriptTask) else frozenset[str]()
    return frozenset(_imported(tree)).union(*map(_imported_by, _judging(task))) - own


def _judging(task: Task) -> Sequence[str]:
    """Returns the sources of what judges a sample."""
    if isinstance(task, UnittestTask):
        return (task.test,)
    if isinstance(task, FunctionCheckTask):
        return (task.check, *task.assertions)
    if isinstance(task, ScriptTask | StdioTask):
        return ()
    assert_never(task)


def _imported_by(source: str) -> frozenset[str]:
    """Returns what a source imports; nothing where it does not parse."""
    if "import" not in source:
        return frozenset()
    return _parsed_once(source) if len(source) <= _REMEMBERED_CHARACTERS else _parsed(source)


def _parsed(source: str) -> frozenset[str]:
    tree = parse(source).tree
    return frozenset() if tree is None else frozenset(_imported(tree))


# Many samples are judged by the same tests.
_parsed_once = functools.lru_cache(maxsize=256)(_parsed)


def _own_modules(files: Iterable[File]) -> frozenset[str]:
    """Returns the modules that files in the working directory are, by their top-level names."""
    firsts = (file.path.partition("/") for file in files)
    return frozenset(first if rest else first.partition(".")[0] for first, _, rest in firsts)


def _imported(tree: ast.Module) -> Iterator[str]:
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        statement = waiting.pop()
        kind = type(statement)
        if kind is ast.Import:
            yield from (alias.name.partition(".")[0] for alias in statement.names)  # type: ignore[attr-defined]  # told by its exact type for speed
        elif kind is ast.ImportFrom:
            if not statement.level and statement.module:  # type: ignore[attr-defined]  # as above
                yield statement.module.partition(".")[0]  # type: ignore[attr-defined]  # as above
        else:
            waiting.extend(_inside(statement))


def _inside(statement: ast.stmt) -> Iterator[ast.stmt]:
    """Yields the statements in a block that the program must come through; of expressions nothing."""
    if isinstance(statement, ast.Try | ast.TryStar):
        if not any(_catches_missing(handler.type) for handler in statement.handlers):
            yield from statement.body
            for handler in statement.handlers:
                yield from handler.body
            yield from statement.orelse
        yield from statement.finalbody
    elif isinstance(statement, ast.If):
        if not _is_for_type_checkers(statement.test):
            yield from statement.body
        yield from statement.orelse
    elif isinstance(statement, ast.With | ast.AsyncWith):
        if not any(_suppresses_missing(item.context_expr) for item in statement.items):
            yield from statement.body
    elif isinstance(statement, ast.Match):
        for case in statement.cases:
            yield from case.body
    else:
        yield from getattr(statement, "body", ())
        yield from getattr(statement, "orelse", ())


def _catches_missing(caught: ast.expr | None) -> bool:
    if caught is None:
        return True
    kinds = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(_last_name(kind) in _CATCHES_MISSING for kind in kinds)


def _suppresses_missing(context: ast.expr) -> bool:
    if not isinstance(context, ast.Call) or _last_name(context.func) != "suppress":
        return False
    return any(_last_name(kind) in _CATCHES_MISSING for kind in context.args)


def _is_for_type_checkers(test: ast.expr) -> bool:
    return _last_name(test) == "TYPE_CHECKING"


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
