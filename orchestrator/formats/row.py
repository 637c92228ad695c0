"""One row of a file, whose fields are checked as they are taken. Pure."""

from __future__ import annotations

import dataclasses
import difflib
import math
from typing import TYPE_CHECKING, Any

from orchestrator.errors import InputError
from orchestrator.model import Limits

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_SHOWN_CHARACTERS = 80
_LONGEST_GUESSED = 200
"""Names longer than this are compared with no others: difflib is quadratic in their length."""
_SECONDS = frozenset({"cpu_time_s", "wall_time_s"})
_MAXIMUM_SECONDS = 1e9
_INT32 = frozenset({"processes", "open_files"})
_MAXIMUM_INT32 = (1 << 31) - 1
_MAXIMUM_INT64 = (1 << 63) - 1
_LIMIT_NAMES = tuple(one.name for one in dataclasses.fields(Limits))
_KINDS = {str: "text", int: "a number", float: "a number", list: "a list", dict: "an object"}


def kind_of(value: object) -> str:
    """Returns what a JSON value is, in words."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return _KINDS[type(value)]


def shown(text: str) -> str:
    """Returns text as it can stand in a message: quoted, escaped, short."""
    return repr(text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "...")


def closest(name: str, names: Iterable[str]) -> str:
    """Returns a question that offers the name that is meant, or nothing where none is near."""
    if len(name) > _LONGEST_GUESSED:
        return ""
    found = difflib.get_close_matches(name, names, 1)
    return f"; did you mean {shown(found[0])}?" if found else ""


class Row:
    """An object of a file, with the place where it stands.

    Every method that takes a field raises `errors.InputError` with file, line and field where the field is
    not what is needed. A field that is null counts as absent: tables write their empty places so.
    """

    __slots__ = ("_data", "_prefix", "file", "line")

    def __init__(self, file: str, line: int, data: dict[str, Any], prefix: str = "") -> None:
        self.file = file
        self.line = line
        self._data = data
        self._prefix = prefix

    @property
    def place(self) -> str:
        """Where the row stands, such as "samples.jsonl:12"."""
        return f"{self.file}:{self.line}"

    def fault(self, message: str, field: str | None = None) -> InputError:
        """Returns the error that says what is wrong with the row, or with one of its fields."""
        return InputError(message, file=self.file, line=self.line, field=field and self._prefix + field)

    def has(self, field: str) -> bool:
        """Returns whether the row has a field."""
        return self._data.get(field) is not None

    def only(self, known: Sequence[str]) -> None:
        """Checks that the row has no fields but these; a misspelt one would be left out in silence."""
        for field in self._data:
            if field not in known:
                hint = closest(field, known) or f"; known are {', '.join(known)}"
                raise self.fault(f"means nothing here{hint}", shown(field)[1:-1])

    def text(self, field: str, default: str | None = None) -> str:
        """Returns a text; without a default the field is needed."""
        value = self._data.get(field)
        if value is None:
            if default is None:
                raise self.fault("is missing; add it", field)
            return default
        if not isinstance(value, str):
            raise self.fault(f"must be text, not {kind_of(value)}", field)
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise self.fault(
                    f"holds half of a surrogate pair (\\u{ord(value[error.start]):04x}), which is no "
                    f"character, at position {error.start}; replace it",
                    field,
                ) from None
        return value

    def name(self, field: str) -> str:
        """Returns a text that is needed and not empty."""
        value = self.text(field)
        if not value:
            raise self.fault("is empty; give it a value", field)
        return value

    def choice(self, field: str, choices: Sequence[str], default: str | None = None) -> str:
        """Returns a text that is one of some; without a default the field is needed."""
        value = self.text(field, default)
        if value not in choices:
            raise self.fault(f"must be one of {', '.join(choices)}, not {shown(value)}", field)
        return value

    def boolean(self, field: str, *, default: bool) -> bool:
        """Returns a truth value."""
        value = self._data.get(field)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.fault(f"must be true or false, not {kind_of(value)}", field)
        return value

    def count(self, field: str) -> int | None:
        """Returns a whole number from 0, or None where there is none."""
        value = self._data.get(field)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MAXIMUM_INT32:
            raise self.fault("must be a whole number, counted from 0", field)
        return value

    def positive(self, field: str, default: float, maximum: float = math.inf) -> float:
        """Returns a number above 0, and finite."""
        value = self._data.get(field)
        if value is None:
            return default
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self.fault(f"must be a number, not {kind_of(value)}", field)
        if not 0 < value < math.inf:
            raise self.fault("must be a number above 0", field)
        if value > maximum:
            raise self.fault(f"must be at most {maximum:g}", field)
        return value

    def texts(self, field: str) -> tuple[str, ...]:
        """Returns a list of texts, empty where there is none."""
        values = self._list(field)
        items = Row(self.file, self.line, {f"{field}[{i}]": value for i, value in enumerate(values)}, self._prefix)
        return tuple(items.text(f"{field}[{i}]") for i in range(len(values)))

    def objects(self, field: str) -> Iterator[Row]:
        """Yields the objects of a list as rows of their own."""
        for i, value in enumerate(self._list(field)):
            yield self._inner(f"{field}[{i}]", value)

    def mapping(self, field: str) -> dict[str, str]:
        """Returns an object of texts, empty where there is none."""
        inner = self._inner(field, self._data[field] if self.has(field) else {})
        return {name: inner.text(name) for name in inner._data}  # noqa: SLF001 - a row of its own class

    def limits(self, field: str = "limits") -> Limits:
        """Returns limits; those that are not named are left to the dataset and the server."""
        if not self.has(field):
            return Limits()
        inner = self._inner(field, self._data[field])
        inner.only(_LIMIT_NAMES)
        wanted: dict[str, Any] = {}
        for name in filter(inner.has, _LIMIT_NAMES):
            if name in _SECONDS:
                wanted[name] = float(inner.positive(name, 0, _MAXIMUM_SECONDS))
                continue
            value = inner.positive(name, 0, _MAXIMUM_INT32 if name in _INT32 else _MAXIMUM_INT64)
            if value != int(value):
                raise inner.fault("must be a whole number", name)
            wanted[name] = int(value)
        return Limits(**wanted)

    def _list(self, field: str) -> list[Any]:
        """Returns a list, empty where there is none."""
        value = self._data.get(field)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.fault(f"must be a list, not {kind_of(value)}", field)
        return value

    def _inner(self, field: str, value: object) -> Row:
        """Returns an object in this row as a row, whose fields are named by their whole way."""
        if not isinstance(value, dict):
            raise self.fault(f"must be an object, not {kind_of(value)}", field)
        return Row(self.file, self.line, value, f"{self._prefix}{field}.")
