"""Makes what a sample wrote fit to be shown in one line to a person."""

from __future__ import annotations

import re

EXPLANATION_CHARACTERS = 500
_QUOTED_CHARACTERS = 200

# Terminal escapes: control sequences, strings (titles, links), and the rest; each bounded by the text alone.
_ESCAPE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)


def scrub(text: str, maximum: int = EXPLANATION_CHARACTERS) -> str:
    """Returns a text on one line, without terminal escapes and unprintable characters, cut to `maximum`.

    Unprintable are control characters, those that change the direction of writing, and lone surrogates. Time
    is bounded, whatever the length.
    """
    shown = _ESCAPE.sub("", text[: 8 * maximum])
    shown = "".join(character if character.isprintable() else " " for character in shown)
    shown = " ".join(shown.split())
    return shown if len(shown) <= maximum else f"{shown[: max(0, maximum - 3)]}..."


def last_line(text: str) -> str:
    """Returns the last line of a text that is not blank, scrubbed and cut: of a traceback, what was raised."""
    end = text[-4096:].rstrip()
    return scrub(re.split(r"[\r\n]", end)[-1], _QUOTED_CHARACTERS)


def raised_line(traceback: str, message: str) -> str:
    """Returns the line of a traceback that names the exception, scrubbed and cut.

    It is the last one, unless the exception's message has several lines, as those of assertions about lists have.

    Args:
        traceback: The traceback.
        message: The exception's message, as far as it is known.
    """
    first = message.lstrip("\r\n").partition("\n")[0]
    found = traceback.rfind(f": {first}") if first else -1
    if found < 0:
        return last_line(traceback)
    start = traceback.rfind("\n", 0, found) + 1
    return scrub(traceback[start:].partition("\n")[0], _QUOTED_CHARACTERS)


def exception_type(line: str) -> str:
    """Returns the name of the exception that a line names first, without its module; may be empty."""
    found = re.match(r"[\w.]+(?=:|$)", line)
    return found.group().rpartition(".")[2] if found else ""


def size(count: int) -> str:
    """Returns a number of bytes as a person writes it."""
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= factor:
            return f"{count / factor:.4g} {unit}"
    return f"{count} bytes"
