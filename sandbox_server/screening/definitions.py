"""Says which names a program defines at its top level, by reading it."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCKS = (ast.If, ast.Try, ast.TryStar, ast.With, ast.AsyncWith, ast.For, ast.AsyncFor, ast.While, ast.Match)


def defines(tree: ast.Module, name: str) -> bool:
    """Tells whether a program defines a name at its top level, blocks such as `if` and `try` included.

    `from module import *` may define anything, so it counts.
    """
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        for statement in _statements(node):
            if isinstance(statement, _BLOCKS):
                waiting.append(statement)
            if _binds(statement, name):
                return True
    return False


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    for value in vars(node).values():
        if not isinstance(value, list):
            continue
        for item in value:
            if isinstance(item, ast.stmt):
                yield item
            elif isinstance(item, ast.ExceptHandler | ast.match_case):
                yield from item.body


def _binds(statement: ast.stmt, name: str) -> bool:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return statement.name == name
    if isinstance(statement, ast.Import):
        return any((alias.asname or alias.name.partition(".")[0]) == name for alias in statement.names)
    if isinstance(statement, ast.ImportFrom):
        return any(alias.name == "*" or (alias.asname or alias.name) == name for alias in statement.names)
    if isinstance(statement, ast.AnnAssign) and statement.value is None:
        return False
    return any(name in _names(target) for target in _targets(statement))


def _targets(statement: ast.stmt) -> Iterator[ast.expr]:
    if isinstance(statement, ast.Assign):
        yield from statement.targets
    elif isinstance(statement, ast.AnnAssign | ast.For | ast.AsyncFor):
        yield statement.target
    elif isinstance(statement, ast.With | ast.AsyncWith):
        yield from (item.optional_vars for item in statement.items if item.optional_vars is not None)
    elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.NamedExpr):
        yield statement.value.target


def _names(target: ast.expr) -> Iterator[str]:
    waiting = [target]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Tuple | ast.List):
            waiting.extend(node.elts)
        elif isinstance(node, ast.Starred):
            waiting.append(node.value)
