"""Searches a syntax tree for what the rules name. Iterative and linear, whatever the tree looks like."""

from __future__ import annotations

import ast
import heapq
import re
from typing import TYPE_CHECKING

from sandbox_server.model import Finding
from sandbox_server.screening.names import Names, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sandbox_server.screening.rules import Rule, RuleSet

MAXIMUM_FINDINGS = 100
_SHOWN_CHARACTERS = 80
_LONGEST_TEXT = 4096

# Where a node stands. Code in a class body or a comprehension runs at load, but binds no name of the module.
_MODULE, _CLASS, _FUNCTION = 0, 1, 2

_FUNCTIONS = frozenset({ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda})
_OWN_NAMES = frozenset({ast.ClassDef, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp})
# Half of all nodes, and nothing but marks below them.
_LEAVES = frozenset({ast.Name, ast.Constant})
_MARKS = (ast.expr_context, ast.operator)
_LOOKED_AT = frozenset(
    {
        ast.AsyncFunctionDef,
        ast.Attribute,
        ast.Call,
        ast.ClassDef,
        ast.Constant,
        ast.FunctionDef,
        ast.Import,
        ast.ImportFrom,
        ast.Name,
        ast.Raise,
        ast.Subscript,
    }
)
_NOTED = frozenset({ast.arg, ast.Assign}) | _LOOKED_AT
_PATCHERS = frozenset({"builtins.setattr", "builtins.delattr"})

_Hit = tuple["Rule", ast.AST, str]


def find(tree: ast.Module, source: str, rules: RuleSet) -> tuple[Finding, ...]:
    """Returns what the rules see in a program: at most 100 findings, in line order.

    Where there are more, those that reject are kept first: a heap of harmless ones cannot hide them.
    """
    names = Names()
    nodes = []
    for node, scope in walk(tree):
        kind = type(node)
        if kind in _NOTED:
            names.note(node)
            if kind in _LOOKED_AT:
                nodes.append((node, scope))
    names.follow_assignments()
    hits = _unique(_matches(nodes, names, rules))
    kept = heapq.nsmallest(MAXIMUM_FINDINGS, hits, key=lambda hit: (not hit[0].rejects, *_place(hit[1])))
    if not kept:
        return ()
    column = _Columns(source)
    findings = (
        Finding(
            rule.name,
            f"{rule.message}: {_shown(what)}",
            _place(node)[0],
            column(*_place(node)),
            rejects=rule.rejects,
        )
        for rule, node, what in kept
    )
    return tuple(sorted(findings, key=lambda finding: (finding.line, finding.column, finding.rule)))


def walk(tree: ast.AST) -> Iterator[tuple[ast.AST, int]]:
    """Yields every node with where it stands, parents first, in no order beyond that."""
    waiting: list[tuple[ast.AST, int]] = [(tree, _MODULE)]
    while waiting:
        node, scope = waiting.pop()
        yield node, scope
        kind = type(node)
        if kind in _LEAVES:
            continue
        inside = max(scope, _CLASS) if kind in _OWN_NAMES else scope
        function = kind in _FUNCTIONS
        for name in node._fields:
            value = getattr(node, name)
            # Decorators, defaults and annotations of a function run where the function is defined.
            place = _FUNCTION if function and name == "body" else inside
            if isinstance(value, list):
                waiting.extend([(item, place) for item in value if isinstance(item, ast.AST)])
            elif isinstance(value, ast.AST) and not isinstance(value, _MARKS):
                waiting.append((value, place))


def _unique(hits: Iterable[_Hit]) -> Iterator[_Hit]:
    seen = set()
    for hit in hits:
        key = (hit[0].name, _place(hit[1]))
        if key not in seen:
            seen.add(key)
            yield hit


def _matches(nodes: Iterable[tuple[ast.AST, int]], names: Names, rules: RuleSet) -> Iterator[_Hit]:
    for node, scope in nodes:
        for rule, what in _rules_for(node, scope, names, rules):
            if not rule.at_load or scope != _FUNCTION:
                yield rule, node, what


def _rules_for(node: ast.AST, scope: int, names: Names, rules: RuleSet) -> Iterator[tuple[Rule, str]]:
    if isinstance(node, ast.Name):
        return _of_name(node, scope, names, rules)
    if isinstance(node, ast.Attribute):
        return _of_attribute(node, names, rules)
    if isinstance(node, ast.Constant):
        return _of_text(node, rules)
    if isinstance(node, ast.Call):
        return _of_call(node, names, rules)
    if isinstance(node, ast.Import | ast.ImportFrom):
        return _of_import(node, scope, rules)
    return _of_statement(node, scope, names, rules)


def _of_statement(node: ast.AST, scope: int, names: Names, rules: RuleSet) -> Iterator[tuple[Rule, str]]:
    if isinstance(node, ast.Subscript) and type(node.ctx) is not ast.Load:
        owner = names.dotted(node.value)
        if owner is not None:
            item = f"{owner}.{text_of(node.slice) or '[...]'}"
            yield from _each(rules.assigns.find(item), item)
    elif isinstance(node, ast.Raise) and node.exc is not None:
        raised = names.dotted(node.exc.func if isinstance(node.exc, ast.Call) else node.exc)
        if raised is not None:
            yield from _each(rules.raises.find(raised), raised)
    elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        if scope == _MODULE:
            yield from _each(rules.defines.get(node.name, ()), node.name)
        if isinstance(node, ast.ClassDef):
            yield from _of_class(node, rules)


def _of_attribute(node: ast.Attribute, names: Names, rules: RuleSet) -> Iterator[tuple[Rule, str]]:
    yield from _each(rules.attributes.get(node.attr, ()), f".{node.attr}")
    dotted = names.dotted(node)
    if dotted is not None:
        index = rules.uses if type(node.ctx) is ast.Load else rules.assigns
        yield from _each(index.find(dotted), dotted)


def _of_name(node: ast.Name, scope: int, names: Names, rules: RuleSet) -> Iterator[tuple[Rule, str]]:
    if type(node.ctx) is not ast.Load:
        if scope == _MODULE:
            yield from _each(rules.defines.get(node.id, ()), node.id)
        return
    dotted = names.dotted(node)
    if dotted is None:
        return
    yield from _each(rules.uses.find(dotted), dotted)
    for module in names.stars:
        starred = f"{module}.{node.id}"
        if starred in rules.uses:
            yield from _each(rules.uses.find(starred), starred)


def _of_call(node: ast.Call, names: Names, rules: RuleSet) -> Iterator[tuple[Rule, str]]:
    called = names.dotted(node.func)
    if called is None:
        return
    yield from _each(rules.calls.find(called), called)
    if called == "builtins.getattr":
        dotted = names.dotted(node)
        if dotted is not None:
            yield from _each(rules.uses.find(dotted), dotted)
        attribute = text_of(node.args[1]) if len(node.args) > 1 else None
        if attribute is not None:
            yield from _each(rules.attributes.get(attribute, ()), f".{attribute}")
    elif called in _PATCHERS and node.args:
        patched = names.dotted(node.args[0])
        attribute = text_of(node.args[1]) if len(node.args) > 1 else None
        if patched is not None:
            what = f"{patched}.{attribute or '[...]'}"
            yield from _each(rules.assigns.find(what), what)
        if attribute is not None:
            yield from _each(rules.attributes.get(attribute, ()), f".{attribute}")


def _of_import(node: ast.Import | ast.ImportFrom, scope: int, rules: RuleSet) -> Iterator[tuple[Rule, str]]:
    for alias in node.names:
        if isinstance(node, ast.Import):
            dotted = alias.name
            bound = alias.asname or alias.name.partition(".")[0]
        elif node.level or node.module is None:
            continue
        else:
            dotted = f"{node.module}.{alias.name}"
            bound = alias.asname or alias.name
            yield from _each(rules.uses.find(dotted), dotted)
        yield from _each(rules.imports.find(dotted), dotted.removesuffix(".*"))
        if scope == _MODULE:
            yield from _each(rules.defines.get(bound, ()), bound)


def _of_text(node: ast.Constant, rules: RuleSet) -> Iterator[tuple[Rule, str]]:
    text = node.value
    if not isinstance(text, str) or len(text) > _LONGEST_TEXT or rules.any_text.match(text) is None:
        return
    for pattern, rule in rules.texts:
        if pattern.match(text) is not None:
            yield rule, repr(text)


def _of_class(node: ast.ClassDef, rules: RuleSet) -> Iterator[tuple[Rule, str]]:
    for name, returned in _constant_methods(node):
        yield from _each(rules.constant_methods.get((name, returned), ()), f"{node.name}.{name}")


def _constant_methods(node: ast.ClassDef) -> Iterator[tuple[str, bool]]:
    """Yields the methods of a class that do nothing but return a constant, and whether that is true."""
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef):
            body = statement.body
            if len(body) > 1 and isinstance(body[0], ast.Expr) and text_of(body[0].value) is not None:
                body = body[1:]
            last = body[0]
            if len(body) == 1 and isinstance(last, ast.Return) and isinstance(last.value, ast.Constant):
                yield statement.name, bool(last.value.value)
        elif isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Lambda):
            returned = statement.value.body
            for target in statement.targets:
                if isinstance(target, ast.Name) and isinstance(returned, ast.Constant):
                    yield target.id, bool(returned.value)


def _each(rules: Iterable[Rule], what: str) -> Iterator[tuple[Rule, str]]:
    for rule in rules:
        yield rule, what


def _place(node: ast.AST) -> tuple[int, int]:
    """Returns the line of a node, and its column in bytes from 0."""
    return node.lineno, node.col_offset  # type: ignore[attr-defined]  # every node that rules look at has both


class _Columns:
    """Turns Python's columns, in bytes from 0, into columns in characters from 1."""

    def __init__(self, source: str) -> None:
        # The parser's own lines: form feeds and the like do not end one.
        self._lines = None if source.isascii() else re.split("\r\n|\r|\n", source)

    def __call__(self, line: int, offset: int) -> int:
        if self._lines is None or not 0 < line <= len(self._lines):
            return offset + 1
        return len(self._lines[line - 1].encode()[:offset].decode("utf-8", "ignore")) + 1


def _shown(what: str) -> str:
    return what if len(what) <= _SHOWN_CHARACTERS else f"{what[: _SHOWN_CHARACTERS - 3]}..."
