"""Makes hostile text safe to print: what comes out of a cell may hold terminal escapes."""

from __future__ import annotations

import unicodedata


def printable(text: str, limit: int = 300) -> str:
    r"""Returns text on one line, cut to `limit` characters, without anything that a terminal would act on.

    Control and format characters (escape sequences, carriage returns, right-to-left overrides) and lone
    surrogates become `\x1b`-like escapes.
    """
    cut = text[:limit]
    if not cut.isascii() or not cut.isprintable():
        cut = "".join(char if unicodedata.category(char)[0] != "C" else ascii(char)[1:-1] for char in cut)
    return cut + ("…" if len(text) > limit else "")
