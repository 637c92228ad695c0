"""Says which tests the source of a `unittest.TestCase` declares, and which of them it asks to be skipped.

Where reading cannot tell, it says so rather than guess: a test declared and not reported condemns a sample.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from sandbox_server.screening.names import text_of
from sandbox_server.screening.parsing import parse

ID_CHARACTERS = 300
"""The harness reports no more of a test's name."""

_TEST_PREFIX = "test"
_BASES = frozenset({"unittest.TestCase", "TestCase"})
# After these a test is still a test of its name. Other decorators may rename, remove or multiply it.
_PLAIN_DECORATORS = frozenset(
    {
        "classmethod",
        "expectedFailure",
        "freeze_time",
        "patch",
        "patch.dict",
        "patch.multiple",
        "patch.object",
        "requests_mock.Mocker",
        "requests_mock.mock",
        "skip",
        "skipIf",
        "skipUnless",
        "staticmethod",
    }
)
_PREFIXES = ("unittest.mock.", "mock.", "unittest.", "case.", "freezegun.")
_SKIP_DECORATORS = frozenset({"skip", "skipIf", "skipUnless"})
_SKIPPING = frozenset({"skipTest", "SkipTest"})
_FIXTURES = frozenset({"setUp", "setUpClass", "asyncSetUp"})
_LITERALS = (ast.Constant, ast.List, ast.Tuple, ast.Dict, ast.Set, ast.JoinedStr, ast.ListComp, ast.DictComp)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the source of tests itself asks for, so that it is no sign of the sample's."""

    skips: frozenset[str] = frozenset()
    """Tests that it may skip."""
    expected_failures: frozenset[str] = frozenset()
    """Tests that it expects to fail."""
    attributes: frozenset[str] = frozenset()
    """Names of attributes and items that it assigns or deletes."""
    mentions_skip: bool = False
    mentions_expected_failure: bool = False


def declared_tests(source: str, test_class: str) -> tuple[str, ...] | None:
    """Returns the names of the tests that a class declares, in the source's order.

    None where the source alone cannot tell: the class is not defined once and plainly at the top level, has
    other bases than `unittest.TestCase`, a decorator or a metaclass, holds blocks, unknown decorators or
    computed attributes named test..., or is changed from outside.
    """
    tree = parse(source).tree
    found = None if tree is None else _class(tree, test_class)
    if tree is None or found is None or not _is_plain(found) or _changes_class(tree, test_class):
        return None
    tests: dict[str, None] = {}
    for statement in found.body:
        if not _is_readable(statement):
            return None
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            if statement.name.startswith(_TEST_PREFIX):
                tests[statement.name[:ID_CHARACTERS]] = None
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            for name in _test_names(statement):
                tests.pop(name[:ID_CHARACTERS], None)  # a literal in the place of a test: it cannot be called
    return tuple(tests)


def _is_readable(statement: ast.stmt) -> bool:
    """Whether reading tells which tests a statement of a class body adds or takes away."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        is_test = statement.name.startswith(_TEST_PREFIX)
        return not is_test or all(_decorator(one) in _PLAIN_DECORATORS for one in statement.decorator_list)
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        return not _test_names(statement) or (_is_single(statement) and isinstance(statement.value, _LITERALS))
    if isinstance(statement, ast.ClassDef):
        return not statement.name.startswith(_TEST_PREFIX)
    return isinstance(statement, ast.Pass) or _is_text(statement)


def asked_of(source: str, test_class: str) -> Asked:
    """Returns what the source of tests asks for. Empty where it does not parse."""
    tree = parse(source).tree
    if tree is None:
        return Asked()
    found = _class(tree, test_class)
    skips: set[str] = set()
    failures: set[str] = set()
    if found is not None:
        methods = [node for node in found.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        everything = _has(found, _SKIP_DECORATORS) or any(
            node.name in _FIXTURES and _skips_inside(node) for node in methods
        )
        for node in methods:
            if everything or _has(node, _SKIP_DECORATORS) or _skips_inside(node):
                skips.add(node.name)
            if _has(node, {"expectedFailure"}) or _has(found, {"expectedFailure"}):
                failures.add(node.name)
    words = {word for node in ast.walk(tree) for word in _words(node)}
    return Asked(
        skips=frozenset(skips),
        expected_failures=frozenset(failures),
        attributes=frozenset(name for node in ast.walk(tree) for name in _assigned(node)),
        mentions_skip=any("skip" in word.lower() for word in words),
        mentions_expected_failure="expectedFailure" in words,
    )


def _class(tree: ast.Module, name: str) -> ast.ClassDef | None:
    """Returns the class of a name that is in force at the end, None where there is none or more than one."""
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == name]
    return classes[0] if len(classes) == 1 and classes[0] in tree.body else None


def _is_plain(node: ast.ClassDef) -> bool:
    bases = [_name(base) for base in node.bases]
    return not node.decorator_list and not node.keywords and bool(bases) and _BASES.issuperset(bases)


def _changes_class(tree: ast.Module, name: str) -> bool:
    """Whether the source binds the class's name again, sets attributes of it, or passes it to a call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == name and not isinstance(node.ctx, ast.Load):
            return True
        if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            if isinstance(node.value, ast.Name) and node.value.id == name:
                return True
        elif isinstance(node, ast.Call):
            if _name(node.func) in {"setattr", "delattr", "exec", "eval"} and _mentions(node, name):
                return True
        elif isinstance(node, ast.FunctionDef | ast.alias) and (
            node.name == name or (isinstance(node, ast.alias) and node.asname == name)
        ):
            return True
    return False


def _mentions(call: ast.Call, name: str) -> bool:
    """Whether a call's arguments name the class, or hide from reading what they name."""
    if _name(call.func) in {"exec", "eval"}:
        text = text_of(call.args[0]) if call.args else ""
        return text is None or name in text
    return bool(call.args) and isinstance(call.args[0], ast.Name) and call.args[0].id in {name, "cls"}


def _decorator(node: ast.expr) -> str:
    """Returns a decorator's name without the module that it comes from."""
    name = _name(node.func if isinstance(node, ast.Call) else node)
    for prefix in _PREFIXES:
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return name


def _name(node: ast.expr) -> str:
    """Returns a plain dotted name as it is written, empty for everything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def _test_names(statement: ast.Assign | ast.AnnAssign) -> list[str]:
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    names = [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
    return [name for name in names if name.startswith(_TEST_PREFIX)]


def _is_single(statement: ast.Assign | ast.AnnAssign) -> bool:
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    return all(isinstance(target, ast.Name) for target in targets)


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _has(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, decorators: frozenset[str] | set[str]) -> bool:
    return any(_decorator(one) in decorators for one in node.decorator_list)


def _skips_inside(node: ast.AST) -> bool:
    return any(word in _SKIPPING for inner in ast.walk(node) for word in _words(inner))


def _words(node: ast.AST) -> tuple[str, ...]:
    if isinstance(node, ast.Attribute):
        return (node.attr,)
    if isinstance(node, ast.Name):
        return (node.id,)
    if isinstance(node, ast.alias):
        return (node.name, node.asname or "")
    return ()


def _assigned(node: ast.AST) -> tuple[str, ...]:
    if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
        return (node.attr,)
    if isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
        return (text_of(node.slice) or "",)
    if isinstance(node, ast.Call) and _name(node.func) in {"setattr", "delattr"} and len(node.args) > 1:
        return (text_of(node.args[1]) or "",)
    return ()
