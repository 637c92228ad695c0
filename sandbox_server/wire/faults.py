"""How a field that breaks a rule is told of."""

from __future__ import annotations

from sandbox_server.errors import FieldError

_SHOWN_CHARACTERS = 100


def bad(name: str, value: object, why: str, **metadata: str) -> FieldError:
    """Returns the error that names a field, its value (cut) and what is wrong with it."""
    shown = str(value)[:_SHOWN_CHARACTERS]
    return FieldError(f"{name} is {shown!r}, {why}", field=name, value=shown, **metadata)
