"""Says what a name in a program stands for, as far as reading can tell: through imports, `as`, assignments.

One table for the whole program: scopes are not told apart, except that a name which the program binds itself
and never imports stands for nothing. That is enough for evidence; a program that wants to hide can.
"""

from __future__ import annotations

import ast
import builtins

# No rule names anything deeper, and a chain of a thousand attributes must not be walked for each part.
_DEEPEST = 8
_LONGEST_NAME = 200
_MAXIMUM_STARS = 16
_IMPORTERS = frozenset({"builtins.__import__", "importlib.import_module", "importlib.__import__"})
_GETATTR = frozenset({"builtins.getattr"})
_MODULES = frozenset({"sys.modules"})
_BUILTINS = frozenset(dir(builtins))


class Names:
    """What the names of a program stand for. Fill it with every node first, then ask."""

    def __init__(self) -> None:
        self._aliases: dict[str, str] = {}
        self._bound: set[str] = set()
        self._assigned: list[tuple[str, ast.expr]] = []
        self.stars: list[str] = []
        """Modules of which everything was imported."""

    def note(self, node: ast.AST) -> None:
        """Takes note of what a node binds."""
        kind = type(node)
        if kind is ast.Name:
            if type(node.ctx) is not ast.Load:  # type: ignore[attr-defined]  # a Name, told by its exact type for speed
                self._bound.add(node.id)  # type: ignore[attr-defined]  # as above
        elif isinstance(node, ast.arg):
            self._bound.add(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            self._bound.add(node.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                self._aliases[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom):
            self._note_import_from(node)
        elif isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = node.targets[0]
            if isinstance(target, ast.Name) and isinstance(node.value, ast.Name | ast.Attribute | ast.Call):
                self._assigned.append((target.id, node.value))

    def _note_import_from(self, node: ast.ImportFrom) -> None:
        if node.level or node.module is None:
            return  # relative to a package that a sample does not have
        for alias in node.names:
            if alias.name != "*":
                self._aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"
            elif len(self.stars) < _MAXIMUM_STARS:
                self.stars.append(node.module)

    def follow_assignments(self) -> None:
        """Lets names stand for what was assigned to them: `base = unittest.TestCase`. Call it last."""
        for name, value in self._assigned:
            if name not in self._aliases:
                dotted = self.dotted(value)
                if dotted is not None:
                    self._aliases[name] = dotted
        self._assigned.clear()

    def dotted(self, node: ast.expr) -> str | None:
        """Returns the dotted name that an expression stands for, None where reading cannot tell.

        Besides names and attributes it knows `__import__("os")`, `importlib.import_module("os")`,
        `getattr(os, "kill")` and `sys.modules["os"]`.
        """
        parts: list[str] = []
        part: str | None
        while len(parts) <= _DEEPEST:
            if isinstance(node, ast.Name):
                return _joined(self._root(node.id), parts)
            if isinstance(node, ast.Attribute):
                part, node = node.attr, node.value
            elif isinstance(node, ast.Call) and len(node.args) > 1 and self._is(node.func, _GETATTR):
                part, node = text_of(node.args[1]), node.args[0]
            else:
                return _joined(self._module(node), parts)
            if part is None:
                return None
            parts.append(part)
        return None

    def _module(self, node: ast.expr) -> str | None:
        """Returns the module that an expression fetches by its name, None for everything else."""
        if isinstance(node, ast.Call) and node.args and self._is(node.func, _IMPORTERS):
            return text_of(node.args[0])
        if isinstance(node, ast.Subscript) and self._is(node.value, _MODULES):
            return text_of(node.slice)
        return None

    def _is(self, node: ast.expr, names: frozenset[str]) -> bool:
        """Whether a plain chain of attributes stands for one of some names."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute) and len(parts) <= _DEEPEST:
            parts.append(node.attr)
            node = node.value
        return isinstance(node, ast.Name) and _joined(self._root(node.id), parts) in names

    def _root(self, name: str) -> str | None:
        known = self._aliases.get(name)
        if known is not None:
            return known
        if name == "__builtins__":
            return "builtins"
        if name in self._bound:
            return None
        # A name that is never bound may be there all the same: a harness can provide `os`.
        return f"builtins.{name}" if name in _BUILTINS else name


def text_of(node: ast.expr) -> str | None:
    """Returns the value of a text literal, None for everything else."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _joined(root: str | None, parts: list[str]) -> str | None:
    if root is None:
        return None
    name = ".".join([root, *reversed(parts)])
    return name if len(name) <= _LONGEST_NAME else None
