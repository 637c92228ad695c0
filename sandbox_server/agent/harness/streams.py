"""The standard streams that a sample sees."""

from __future__ import annotations

import io
import sys
from typing import Any, List, NoReturn, Optional, TextIO

from . import pristine

__builtins__ = pristine.BUILTINS

_PENDING_CHARACTERS = 8 << 10


def install_real() -> None:
    """Opens descriptors 0, 1 and 2 as Python does, as `sys.stdin` and `sys.__stdin__` and so on."""
    # Any, because the type checker takes the second name of each for a constant.
    system: Any = sys
    system.stdin = system.__stdin__ = _open(0, "<stdin>", "r", "surrogateescape")
    # As in the C.UTF-8 locale: what was read undecoded can be written again.
    system.stdout = system.__stdout__ = _open(1, "<stdout>", "w", "surrogateescape")
    system.stderr = system.__stderr__ = _open(2, "<stderr>", "w", "backslashreplace")


def _open(descriptor: int, name: str, mode: str, errors: str) -> TextIO:
    line_buffered = 1 if descriptor == 2 else -1
    # Left open for as long as the process lives. Any, because its type does not say that `name` can be set.
    stream: Any = io.open(  # noqa: SIM115  # see above
        descriptor, mode, line_buffered, encoding="utf-8", errors=errors, closefd=False
    )
    stream.buffer.raw.name = name
    stream.mode = mode
    opened: TextIO = stream
    return opened


class WriteOnlyText(io.StringIO):
    """A text stream that refuses reads by OSError, as the original harnesses put in place of all three.

    Being a StringIO it has no `buffer`, and its `fileno` raises UnsupportedOperation: programs notice both.

    Args:
        descriptor: Where to write what is written; None keeps it here only.
    """

    def __init__(self, descriptor: Optional[int] = None) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._pending: List[str] = []
        self._pending_characters = 0

    def write(self, text: str, /) -> int:
        """Writes text, here and to the descriptor."""
        written = super().write(text)
        if self._descriptor is not None:
            self._pending.append(text)
            self._pending_characters += written
            if self._pending_characters >= _PENDING_CHARACTERS:
                self.flush()
        return written

    def flush(self) -> None:
        """Writes to the descriptor what was not yet written to it."""
        if self._descriptor is None or not self._pending:
            return
        data = "".join(self._pending).encode("utf-8", "backslashreplace")
        self._pending, self._pending_characters = [], 0
        try:
            while data:
                data = data[pristine.write(self._descriptor, data) :]
        except OSError:
            return  # the sample closed its own descriptor; what this class stands in for would not notice

    def read(self, *_: Any) -> NoReturn:
        """Refuses."""
        raise OSError

    def readline(self, *_: Any) -> NoReturn:
        """Refuses."""
        raise OSError

    def readlines(self, *_: Any) -> NoReturn:
        """Refuses."""
        raise OSError

    def readable(self) -> bool:
        """Says that this cannot be read."""
        return False


class WriteOnlyStreams:
    """Puts write-only streams in place of `sys.stdin`, `sys.stdout` and `sys.stderr`.

    `sys.__stdout__` and the like stay what the zygote has at the same descriptors.
    """

    def __init__(self) -> None:
        self._streams = (WriteOnlyText(1), WriteOnlyText(2))
        self._real = (sys.__stdout__, sys.__stderr__)
        sys.stdin = WriteOnlyText()
        sys.stdout, sys.stderr = self._streams

    def flush(self) -> None:
        """Writes what a sample wrote to these streams, or to the real ones by their other names."""
        for stream in self._streams:
            stream.flush()
        for real in self._real:
            if real is not None:
                flush_quietly(real)


def flush_quietly(stream: TextIO) -> None:
    """Flushes a stream that the sample may have closed, or put an object of its own in place of."""
    try:
        stream.flush()
    except BaseException:
        return
