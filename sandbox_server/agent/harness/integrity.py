"""Notices when a sample changed what judges it: unittest, the builtins, the interpreter's hooks.

A snapshot compares by identity. It sees the cheap attacks only: what is changed and put back between two
looks, or changed in C, it does not see. It is evidence, not a verdict.
"""

from __future__ import annotations

import builtins
import dis
import sys
from types import CodeType, FunctionType
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Sequence, Set, Tuple

from . import pristine

__builtins__ = pristine.BUILTINS
__unittest = True

MAXIMUM_WORDS = 20

# Tests and programs set these, and may: they shape messages.
_FREE = frozenset({"maxDiff", "longMessage", "__doc__", "__annotations__", "__annotations_cache__"})
# Modules that must stay what their names say.
_HOOKED = ("unittest", "builtins", "sys")
# Builtins that statements and unittest use, whatever names the tests use.
_STATEMENTS = ("__build_class__", "__import__", "getattr", "isinstance", "issubclass", "len", "repr", "type")

_READS = ("LOAD_NAME", "LOAD_GLOBAL")

_MISSING = object()

Part = Tuple[Any, Dict[str, Any]]
"""A class or module, and what of it must stay as it is."""
Function = Tuple[str, FunctionType, Tuple[Any, ...]]
"""A function by its name, and its code and defaults."""
Framework = Tuple[List[Part], List[Function]]
"""What else judges, beside the builtins and the hooks."""
NONE: Framework = ([], [])


class Snapshot:
    """What judges a sample: the builtins, the interpreter's hooks and, if it is used, unittest.

    Take it before the sample is loaded. To look at an object costs a forked process a copy of the memory page
    it is in, so that looking at everything takes half a millisecond; hence the two ways to look at less.

    Args:
        framework: The parts of what else judges: `framework.parts()`, where unittest does.
    """

    def __init__(self, framework: Framework = NONE) -> None:
        self._parts, self._functions = framework
        self._builtins = pristine.BUILTINS
        self._hooks = (pristine.get_trace(), pristine.get_profile())
        self._finders = list(sys.meta_path)
        self._registered = [(name, sys.modules.get(name)) for name in _HOOKED]

    def watch_only(self, names: Iterable[str]) -> None:
        """Leaves out the builtins that tests use neither by name nor by the meaning of a statement."""
        known = pristine.BUILTINS
        self._builtins = {name: known[name] for name in (*_STATEMENTS, *names) if name in known}

    def changes(self, when: str) -> List[str]:
        """Returns what is no longer as it was, such as "after loading: TestCase.assertEqual"; at most 20.

        Args:
            when: Said in front of each, such as "after loading".
        """
        found: List[str] = []
        for word in self._look():
            text = "%s: %s" % (when, word)
            if text not in found:
                found.append(text)
            if len(found) == MAXIMUM_WORDS:
                break
        return found

    def _look(self) -> Iterator[str]:
        for owner, before in self._parts:
            now = vars(owner)
            for name in _changed(before, now):
                yield "%s.%s" % (owner.__name__, name)
            if isinstance(owner, type):
                # What is new in a module decides nothing; in a class it may switch tests off.
                for name in _added(before, now):
                    yield "%s.%s was added" % (owner.__name__, name)
        present = vars(builtins)
        for name in _changed(self._builtins, present):
            if present.get(name, _MISSING) is not None:  # else it was disabled, by the harness most likely
                yield "builtins.%s" % name
        for name, function, was in self._functions:
            if _differs(inside(function), was):
                yield "the inside of %s" % name
        yield from self._changed_hooks()

    def _changed_hooks(self) -> Iterator[str]:
        if _differs((pristine.get_trace(), pristine.get_profile()), self._hooks):
            yield "sys.settrace or sys.setprofile"
        for name, module in self._registered:
            if sys.modules.get(name) is not module:
                yield "sys.modules[%r]" % name
        for finder in self._new_finders():
            yield "sys.meta_path: %s" % finder

    def _new_finders(self) -> Iterator[str]:
        """Yields import hooks that are new and of no importable module: libraries add theirs, and may."""
        for finder in sys.meta_path:
            if any(finder is old for old in self._finders):
                continue
            owner = finder if isinstance(finder, type) else type(finder)
            module = vars(owner).get("__module__")
            spec = getattr(sys.modules.get(module), "__spec__", None) if type(module) is str else None
            if spec is None or module == "builtins":
                yield type.__dict__["__name__"].__get__(owner)[:100]


def used_builtins(codes: Iterable[CodeType]) -> List[str]:
    """Returns the builtins whose names code mentions, as variables or as attributes."""
    return sorted(name for name in set().union(*map(_names, codes)) if name in pristine.BUILTINS)


def shadowed(codes: Sequence[CodeType], used: Iterable[str], namespace: Mapping[str, Any]) -> List[str]:
    """Returns the builtins that tests use by a name which the solution gave to something else.

    `abs = lambda value: 0` beside a solution makes `abs(wrong - right) < 0.1` true. What a library itself has
    by that name (`from math import pow`) is not counted.

    Args:
        codes: The code of the tests.
        used: What `used_builtins` says of it.
        namespace: What the tests will find, before they are executed.
    """
    suspects = [name for name in used if name in namespace and not name.startswith("__")]
    return [
        name
        for name in suspects
        if namespace[name] is not pristine.BUILTINS[name] and not _is_of_a_library(name, namespace[name])
        if any(_reads(code, name) for code in codes)
    ]  # fmt: skip


def _is_of_a_library(name: str, value: Any) -> bool:
    try:
        module = sys.modules.get(value.__module__)
        return vars(module).get(name) is value and getattr(module, "__spec__", None) is not None
    except BaseException:
        return False  # an object of the sample that will not be asked


def _names(code: CodeType) -> Set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _names(constant)
    return names


def _reads(code: CodeType, name: str) -> bool:
    """Whether a module's code reads a global of this name and does not itself define it."""
    try:
        if any(one.opname == "STORE_NAME" and one.argval == name for one in dis.get_instructions(code)):
            return False
        return _reads_global(code, name)
    except BaseException:
        return True  # the sample broke `dis`, or what it needs


def _reads_global(code: CodeType, name: str) -> bool:
    if name not in _names(code):
        return False
    if any(one.opname in _READS and one.argval == name for one in dis.get_instructions(code)):
        return True
    return any(isinstance(part, CodeType) and _reads_global(part, name) for part in code.co_consts)


def inside(function: FunctionType) -> Tuple[Any, ...]:
    """Returns what makes a function do what it does."""
    return function.__code__, function.__defaults__, function.__kwdefaults__


def _differs(now: Tuple[Any, ...], before: Tuple[Any, ...]) -> bool:
    return any(one is not other for one, other in zip(now, before))


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name, value in before.items():
        if now.get(name, _MISSING) is not value and name not in _FREE:
            yield name


def _added(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    if len(now) != len(before):
        for name in now:
            if name not in before and name not in _FREE:
                yield name
