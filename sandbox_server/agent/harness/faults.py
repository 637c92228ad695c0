"""Puts exceptions that a sample raised into words, bounded, without trusting their methods.

An exception of a sample is an object of the sample: its `__str__` may raise, return a gigabyte or never
return (then the time limit ends the cell), and its `__traceback__` may be a property. What can be read by C
slots is read so.
"""

from __future__ import annotations

import linecache
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Mapping, Optional, Tuple

from . import pristine

if TYPE_CHECKING:
    from types import CodeType, TracebackType

__builtins__ = pristine.BUILTINS
__unittest = True  # unittest leaves frames of modules that say so out of tracebacks

DETAIL_CHARACTERS = 8 << 10
MESSAGE_CHARACTERS = 2 << 10
_NAME_CHARACTERS = 200
_LINE_CHARACTERS = 300
_SHOWN_FRAMES = 20
_SHOWN_LINKS = 8
_SHOWN_NOTES = 8

_get_cause = BaseException.__dict__["__cause__"].__get__
_get_context = BaseException.__dict__["__context__"].__get__
_get_suppress_context = BaseException.__dict__["__suppress_context__"].__get__
_get_traceback = BaseException.__dict__["__traceback__"].__get__
_get_arguments = BaseException.__dict__["args"].__get__
_get_missing = ImportError.__dict__["name"].__get__
_get_syntax = {name: SyntaxError.__dict__[name].__get__ for name in ("filename", "lineno", "offset", "text")}
_get_type_name = type.__dict__["__name__"].__get__
_slice = str.__getitem__
_base_str = BaseException.__str__

_CAUSED = "\nThe above exception was the direct cause of the following exception:\n\n"
_DURING = "\nDuring handling of the above exception, another exception occurred:\n\n"

Sources = Mapping[str, str]
"""Source texts by file name, for the lines of tracebacks.

They are not put into `linecache`: there a sample could read the tests, and `inspect.getsource` would work
where it fails in the original harnesses.
"""


def cut(text: str, characters: int = DETAIL_CHARACTERS) -> str:
    """Returns a text of at most about so many characters: its head and its tail."""
    if len(text) <= characters:
        return text
    half = characters // 2
    return "%s\n... the middle is left out ...\n%s" % (text[:half], text[-half:])


def head(text: object) -> str:
    """Returns the first characters of a text; nothing of what is none."""
    return _slice(text, slice(0, MESSAGE_CHARACTERS)) if isinstance(text, str) else ""


def type_name(error: BaseException) -> str:
    """Returns the name of an exception's class."""
    name: str = _get_type_name(type(error))
    return _slice(name, slice(0, _NAME_CHARACTERS))


def message_of(error: BaseException, characters: int = MESSAGE_CHARACTERS) -> str:
    """Returns the first characters of `str(error)`."""
    if type(error).__str__ is _base_str:
        # The usual case, without copying a text that may be huge.
        arguments = _get_arguments(error)
        if len(arguments) == 1 and type(arguments[0]) is str:
            return arguments[0][:characters]
    return _text_of(error, characters)


def describe(error: BaseException, sources: Sources, kind: str = "error") -> Dict[str, Any]:
    """Returns an error report: what an exception says, and where it was raised."""
    missing = _get_missing(error) if isinstance(error, ModuleNotFoundError) else None
    return {
        "type_name": type_name(error),
        "message": message_of(error),
        "traceback": traceback_of(error, sources),
        "missing_module": missing[:_NAME_CHARACTERS] if type(missing) is str else "",
        "kind": kind,
    }


def traceback_of(error: BaseException, sources: Sources) -> str:
    """Returns the traceback of an exception and of those behind it, oldest first, head and tail of it."""
    parts = [_one(one, sources) + link for one, link in _chain(error)]
    return cut("".join(parts))


def _text_of(value: object, characters: int) -> str:
    try:
        return _slice(str(value), slice(0, characters))
    except BaseException as raised:
        return "<%s: its text cannot be read (%s)>" % (
            _get_type_name(type(value)),
            _get_type_name(type(raised)),
        )


def _chain(error: BaseException) -> Iterator[Tuple[BaseException, str]]:
    """Yields the exceptions that led to an error, oldest first, each with what joins it to the next."""
    links: List[Tuple[BaseException, str]] = [(error, "")]
    seen = {id(error)}
    while len(links) < _SHOWN_LINKS:
        current = links[-1][0]
        earlier: Optional[BaseException] = _get_cause(current)
        link = _CAUSED
        if earlier is None and not _get_suppress_context(current):
            earlier, link = _get_context(current), _DURING
        if earlier is None or id(earlier) in seen:
            break
        seen.add(id(earlier))
        links.append((earlier, link))
    return reversed(links)


def _one(error: BaseException, sources: Sources) -> str:
    lines: List[str] = []
    frames = list(_frames(_get_traceback(error)))
    if frames:
        lines.append("Traceback (most recent call last):\n")
    skipped = len(frames) - 2 * _SHOWN_FRAMES
    for index, (code, line_number) in enumerate(frames):
        if skipped > 0 and _SHOWN_FRAMES <= index < _SHOWN_FRAMES + skipped:
            if index == _SHOWN_FRAMES:
                lines.append("  ... %d frames left out ...\n" % skipped)
            continue
        lines.append('  File "%s", line %d, in %s\n' % (code.co_filename, line_number, code.co_name))
        source = _line(code.co_filename, line_number, sources)
        if source:
            lines.append("    %s\n" % source)
    if isinstance(error, SyntaxError):
        lines.append(_syntax(error, sources))
    message = message_of(error, DETAIL_CHARACTERS * 2)
    lines.append("%s: %s\n" % (_qualified(error), message) if message else "%s\n" % _qualified(error))
    lines.extend(_notes(error))
    return "".join(lines)


def _qualified(error: BaseException) -> str:
    """Returns the class's name as Python shows it."""
    module = type.__dict__["__module__"].__get__(type(error))
    if type(module) is not str or module in ("builtins", "__main__"):
        return type_name(error)
    return "%s.%s" % (module[:_NAME_CHARACTERS], type_name(error))


def _frames(trace: Optional[TracebackType]) -> Iterator[Tuple[CodeType, int]]:
    """Yields code and line of each frame but those of unittest and the harness."""
    while trace is not None:
        frame = trace.tb_frame
        if not dict.__contains__(frame.f_globals, "__unittest"):
            yield frame.f_code, trace.tb_lineno or 0
        trace = trace.tb_next


def _line(filename: str, number: int, sources: Sources) -> str:
    source = sources.get(filename)
    if source is not None:
        lines = source.split("\n", number)[:number]
        text = lines[number - 1] if 0 < number <= len(lines) else ""
    else:
        try:
            text = linecache.getline(filename, number)
        except BaseException:
            return ""  # linecache is the sample's to break; the traceback only loses this line
    return text.strip()[:_LINE_CHARACTERS] if type(text) is str else ""


def _syntax(error: SyntaxError, sources: Sources) -> str:
    filename, number, offset, text = (get(error) for get in _get_syntax.values())
    if type(number) is not int:
        return ""
    shown = '  File "%s", line %d\n' % (_text_of(filename, _NAME_CHARACTERS), number)
    if type(text) is not str and type(filename) is str:
        text = sources.get(filename, "").split("\n", number)[:number][-1]
    if type(text) is not str or not text.strip():
        return shown
    text = text.rstrip()
    stripped = text.lstrip()
    shown += "    %s\n" % stripped[:_LINE_CHARACTERS]
    column = offset - 1 - (len(text) - len(stripped)) if type(offset) is int else -1
    return shown + "    %s^\n" % (" " * column) if 0 <= column <= _LINE_CHARACTERS else shown


def _notes(error: BaseException) -> Iterator[str]:
    """Yields what was attached by `add_note`."""
    try:
        notes = object.__getattribute__(error, "__notes__")
    except BaseException:
        return  # there are none, or they are a property that raises
    if type(notes) is list:
        for note in notes[:_SHOWN_NOTES]:
            yield _text_of(note, MESSAGE_CHARACTERS) + "\n"
