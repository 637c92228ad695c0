"""Reads rows: JSON objects, one a line, possibly gzipped, of unknown origin. Names what is wrong with them.

A person mends a file once, not once for each mistake, so faults are gathered and raised together. What the
rows mean belongs to `samples` and to the datasets.
"""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from orchestrator.errors import InputError
from orchestrator.formats.row import Row, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator

MAXIMUM_LINE_BYTES = 32 << 20
"""Longer lines are refused unread. No server takes a program of more than a few MiB."""

MAXIMUM_FAULTS = 20
"""How many faults are told in full; the others are counted."""

_GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Faults:
    """Gathers what is wrong with a file and raises it as one error.

    The error's text has a line for each fault with its place in front, as compilers print them.
    """

    def __init__(self) -> None:
        self._told: list[InputError] = []
        self._count = 0

    @property
    def full(self) -> bool:
        """Whether further faults are only counted, so that hints for them are not worth their time."""
        return len(self._told) >= MAXIMUM_FAULTS

    def add(self, fault: InputError) -> None:
        """Notes a fault."""
        self._count += 1
        if not self.full:
            self._told.append(fault)

    def check(self) -> None:
        """Raises what was gathered, if anything was.

        Raises:
            errors.InputError: With the file, line and field of the first fault, and the text of all.
        """
        if not self._told:
            return
        first = self._told[0]
        lines = [str(fault) for fault in self._told]
        if self._count > len(lines):
            lines.append(f"... and {self._count - len(lines)} more")
        first.args = ("\n".join(lines),)
        raise first


def rows(path: str, faults: Faults) -> Iterator[Row]:
    """Yields the objects of a JSONL file, and notes as faults whatever is none.

    Lines of white space mean nothing. Whether the file is gzipped is told by its first bytes, since files get
    renamed.

    Raises:
        errors.InputError: The file cannot be read, or not to its end. What was noted before is void then: it
            may well be the damage that made those lines.
    """
    try:
        with Path(path).open("rb") as file:
            gzipped = file.peek(len(_GZIP_MAGIC)).startswith(_GZIP_MAGIC)
            stream = cast("IO[bytes]", gzip.GzipFile(fileobj=file)) if gzipped else file
            yield from _parsed(stream, path, faults)
    except FileNotFoundError:
        raise InputError("there is no such file; check the path", file=path) from None
    except IsADirectoryError:
        raise InputError("is a folder, where a JSONL file is needed", file=path) from None
    except (OSError, ValueError) as error:  # ValueError: the path holds a NUL byte or half a surrogate pair
        raise InputError(f"cannot be read: {_reason(error)}", file=path) from error


def _reason(error: OSError | ValueError) -> str:
    """Returns what the system says, without the path, which stands in front already."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _parsed(stream: IO[bytes], path: str, faults: Faults) -> Iterator[Row]:
    """Yields the objects of an open stream."""
    number = 0
    while True:
        try:
            line = _next_line(stream)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise InputError(
                f"the gzip data is broken after line {number}: {error}; make or fetch the file again",
                file=path,
                line=number + 1,
            ) from error
        if not line:
            return
        number += 1
        if number == 1:
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if len(line) <= MAXIMUM_LINE_BYTES and not line.strip():
            continue
        try:
            row = Row(path, number, _object(line, path, number))
        except InputError as fault:
            faults.add(fault)
        else:
            yield row


def _next_line(stream: IO[bytes]) -> bytes:
    """Returns the next line; of one that is too long, a beginning that is too long by one byte."""
    line = stream.readline(MAXIMUM_LINE_BYTES + 1)
    rest = line if len(line) > MAXIMUM_LINE_BYTES else b""
    while rest and not rest.endswith(b"\n"):
        rest = stream.readline(MAXIMUM_LINE_BYTES)
    return line


def _object(line: bytes, path: str, number: int) -> dict[str, object]:
    """Returns the object that a line holds."""
    if len(line) > MAXIMUM_LINE_BYTES:
        raise InputError(
            f"the line is longer than {MAXIMUM_LINE_BYTES >> 20} MiB; shorten or remove it",
            file=path,
            line=number,
        )
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise InputError(
            f"is not UTF-8: byte {error.start + 1} of the line is 0x{line[error.start]:02x}; "
            "save the file in that encoding",
            file=path,
            line=number,
        ) from None
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        cut_off = error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string")
        hint = "is the line cut off? Restore or remove it" if cut_off else "each line must be one JSON object"
        raise InputError(
            # Some of json's messages end with the word that leads to the place.
            f"is not JSON: {error.msg.removesuffix(' at')} at column {error.colno}; {hint}",
            file=path,
            line=number,
        ) from None
    except RecursionError:
        raise InputError("is nested too deeply to be read; flatten it", file=path, line=number) from None
    except ValueError as error:  # an integer of more digits than Python converts
        raise InputError(f"cannot be read: {error}", file=path, line=number) from None
    if not isinstance(value, dict):
        raise InputError(f"holds {kind_of(value)}, where an object {{...}} is needed", file=path, line=number)
    return value
