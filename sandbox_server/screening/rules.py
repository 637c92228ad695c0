"""The rule set of the screening: data, read and checked, and laid out so that looking up a name is one step.

What the keys mean stands at the head of `rules.toml`. How a program is searched is in `matching`.
"""

from __future__ import annotations

import fnmatch
import functools
import re
import tomllib
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

_LISTS = ("imports", "calls", "uses", "assigns", "raises", "attributes", "defines", "texts")
_KEYS = frozenset({"name", "message", "rejects", "scope", "constant_methods", *_LISTS})
_EVERYTHING_BELOW = ".*"


class RuleError(ValueError):
    """Raised when a rule set cannot be used; names the rule and the key."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing to look for."""

    name: str
    message: str
    rejects: bool
    at_load: bool
    """Whether it counts only in code that runs when the sample is loaded."""


class NameIndex:
    """Rules by dotted name, exact or everything below it."""

    def __init__(self) -> None:
        self._exact: dict[str, list[Rule]] = {}
        self._below: dict[str, list[Rule]] = {}

    def add(self, name: str, rule: Rule, *, below: bool = False) -> None:
        """Adds a rule for a name; a trailing ".*", or `below`, means every name below it too."""
        if name.endswith(_EVERYTHING_BELOW):
            self._below.setdefault(name.removesuffix(_EVERYTHING_BELOW), []).append(rule)
            return
        self._exact.setdefault(name, []).append(rule)
        if below:
            self._below.setdefault(name, []).append(rule)

    def find(self, name: str) -> list[Rule]:
        """Returns the rules for a dotted name."""
        found = list(self._exact.get(name, ()))
        if self._below:
            end = name.rfind(".")
            while end > 0:
                found += self._below.get(name[:end], ())
                end = name.rfind(".", 0, end)
        return found

    def __contains__(self, name: str) -> bool:
        """Whether there is a rule for exactly this name."""
        return name in self._exact


@dataclass(slots=True)
class RuleSet:
    """All rules, by what they match. Built once by `read_rules`; not changed after."""

    rules: list[Rule] = field(default_factory=list)
    imports: NameIndex = field(default_factory=NameIndex)
    calls: NameIndex = field(default_factory=NameIndex)
    uses: NameIndex = field(default_factory=NameIndex)
    assigns: NameIndex = field(default_factory=NameIndex)
    raises: NameIndex = field(default_factory=NameIndex)
    attributes: dict[str, list[Rule]] = field(default_factory=dict)
    defines: dict[str, list[Rule]] = field(default_factory=dict)
    constant_methods: dict[tuple[str, bool], list[Rule]] = field(default_factory=dict)
    texts: list[tuple[re.Pattern[str], Rule]] = field(default_factory=list)
    any_text: re.Pattern[str] = re.compile(r"(?!)")
    """Matches every text that one of `texts` matches: most texts match none, and are asked once."""


@functools.cache
def default_rules() -> RuleSet:
    """Returns the rule set that comes with the server."""
    return read_rules(resources.files(__package__).joinpath("rules.toml").read_text("utf-8"))


def read_rules(text: str) -> RuleSet:
    """Returns the rule set that a TOML text holds.

    Raises:
        RuleError: The text is not TOML, or a rule has an unknown key, lacks one or holds a wrong value.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RuleError(f"the rule set is not TOML: {error}") from error
    if set(document) != {"rule"} or not isinstance(document["rule"], list):
        raise RuleError("the rule set must hold [[rule]] tables and nothing else")
    found = RuleSet()
    for number, table in enumerate(document["rule"], start=1):
        _add(found, table, number)
    names = [rule.name for rule in found.rules]
    for name in names:
        if names.count(name) > 1:
            raise RuleError(f"rule {name!r} stands twice in the rule set")
    if found.texts:
        found.any_text = re.compile("|".join(pattern.pattern for pattern, _ in found.texts), re.DOTALL)
    return found


def _add(rules: RuleSet, table: dict[str, Any], number: int) -> None:
    place = f"rule {table.get('name', number)!r}"
    rule = _rule(table, place)
    matched = {key: _texts(table, key, place) for key in _LISTS if key in table}
    methods = table.get("constant_methods", {})
    if not isinstance(methods, dict) or not all(isinstance(value, bool) for value in methods.values()):
        raise RuleError(f"{place}: constant_methods must map names of methods to true or false")
    if not any(matched.values()) and not methods:
        raise RuleError(f"{place}: matches nothing; give it one of {', '.join(_LISTS)} or constant_methods")
    rules.rules.append(rule)
    for key in ("imports", "calls", "uses", "assigns", "raises"):
        for name in matched.get(key, ()):
            getattr(rules, key).add(name, rule, below=key == "imports")
    for name in matched.get("attributes", ()):
        rules.attributes.setdefault(name, []).append(rule)
    for name in matched.get("defines", ()):
        rules.defines.setdefault(name, []).append(rule)
    for name, value in methods.items():
        rules.constant_methods.setdefault((name, value), []).append(rule)
    for pattern in matched.get("texts", ()):
        rules.texts.append((re.compile(fnmatch.translate(pattern)), rule))


def _rule(table: dict[str, Any], place: str) -> Rule:
    unknown = sorted(set(table) - _KEYS)
    if unknown:
        raise RuleError(f"{place}: unknown key {unknown[0]!r}; known are {', '.join(sorted(_KEYS))}")
    scope = table.get("scope", "anywhere")
    if scope not in {"anywhere", "module"}:
        raise RuleError(f"{place}: scope is {scope!r}; it is 'anywhere' or 'module'")
    return Rule(
        name=_value(table, "name", str, place),
        message=_value(table, "message", str, place),
        rejects=_value(table, "rejects", bool, place),
        at_load=scope == "module",
    )


def _value(table: dict[str, Any], key: str, kind: type, place: str) -> Any:
    value = table.get(key)
    if type(value) is not kind or value == "":
        raise RuleError(f"{place}: {key} must be given, as {'text' if kind is str else 'true or false'}")
    return value


def _texts(table: dict[str, Any], key: str, place: str) -> list[str]:
    value = table[key]
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise RuleError(f"{place}: {key} must be a list of texts")
    return value
