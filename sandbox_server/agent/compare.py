"""Compares what a program printed with what was expected. Pure; both sides are bytes that nobody has checked.

Time is linear in the outputs; memory, beyond the outputs themselves, is constant: an output of many megabytes is
walked token by token and never split into a list.
"""

from __future__ import annotations

import math
import re
from typing import Iterator, Optional, Tuple

_TOKEN = re.compile(rb"\S+")
# Each part is consumed in one way only, so a long run of digits is never tried twice.
_NUMBER = re.compile(rb"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
# No number that a program computes is longer; what is longer is compared as text.
_LONGEST_NUMBER = 4096
_SHOWN_BYTES = 60
_BEFORE_DIFFERENCE_BYTES = 20


def outputs_equal(
    actual: bytes, expected: bytes, mode: str, absolute_tolerance: float, relative_tolerance: float
) -> bool:
    """Tells whether an output is as expected.

    Args:
        actual: What the program printed.
        expected: What it was to print.
        mode: "exact" (equal but for white space at the very end), "tokens" (equal sequences of tokens,
            separated by white space) or "floats" (as tokens, but two finite decimal numbers may differ by a
            tolerance; "nan" and "inf" equal only the same text).
        absolute_tolerance: The largest difference of two numbers.
        relative_tolerance: The largest difference as a share of the expected number's size.

    Raises:
        ValueError: The mode is none of the three.
    """
    if mode == "exact":
        return actual.rstrip() == expected.rstrip()
    _check(mode)
    if actual == expected:
        return True
    close = (absolute_tolerance, relative_tolerance) if mode == "floats" else None
    return _first_unequal(actual, expected, close) is None


def first_difference(
    actual: bytes,
    expected: bytes,
    mode: str,
    absolute_tolerance: float = 1e-9,
    relative_tolerance: float = 1e-9,
) -> str:
    """Returns where an output first differs from what was expected, in a sentence.

    What it quotes is escaped and cut: a few hundred characters of printable ASCII at most. Empty when there is
    no difference.

    Raises:
        ValueError: The mode is none of the three.
    """
    if mode == "exact":
        return _first_unequal_byte(actual.rstrip(), expected.rstrip())
    _check(mode)
    close = (absolute_tolerance, relative_tolerance) if mode == "floats" else None
    found = _first_unequal(actual, expected, close)
    if found is None:
        return ""
    number, got, wanted = found
    if got is None:
        assert wanted is not None
        return "the output ends after %d tokens where %s was expected" % (number, _shown(wanted.group()))
    line = actual.count(b"\n", 0, got.start()) + 1
    place = "line %d, token %d of the output" % (line, number + 1)
    if wanted is None:
        return "%s: %s where the end was expected" % (place, _shown(got.group()))
    return "%s: %s where %s was expected" % (place, _shown(got.group()), _shown(wanted.group()))


def _check(mode: str) -> None:
    if mode not in ("tokens", "floats"):
        raise ValueError("the comparison mode is %r, which is none of 'exact', 'tokens', 'floats'" % mode)


_Match = Optional["re.Match[bytes]"]


def _first_unequal(
    actual: bytes, expected: bytes, close: Optional[Tuple[float, float]]
) -> Optional[Tuple[int, _Match, _Match]]:
    """Returns the number of the first tokens that differ, counted from 0, and both; None when none does."""
    ours: Iterator["re.Match[bytes]"] = _TOKEN.finditer(actual)
    theirs: Iterator["re.Match[bytes]"] = _TOKEN.finditer(expected)
    number = 0
    while True:
        got, wanted = next(ours, None), next(theirs, None)
        if got is None and wanted is None:
            return None
        if got is None or wanted is None:
            return number, got, wanted
        left, right = got.group(), wanted.group()
        if left != right and (close is None or not _close(left, right, *close)):
            return number, got, wanted
        number += 1


def _close(actual: bytes, expected: bytes, absolute_tolerance: float, relative_tolerance: float) -> bool:
    got, wanted = _number(actual), _number(expected)
    if got is None or wanted is None:
        return False
    # Relative to what is expected, not to the larger of both: a wild answer must not widen its own tolerance.
    return got == wanted or abs(got - wanted) <= max(absolute_tolerance, relative_tolerance * abs(wanted))


def _number(token: bytes) -> Optional[float]:
    """Returns the value of a finite decimal number, None for everything else."""
    if len(token) > _LONGEST_NUMBER or _NUMBER.fullmatch(token) is None:
        return None
    value = float(token)
    return value if math.isfinite(value) else None


def _first_unequal_byte(actual: bytes, expected: bytes) -> str:
    if actual == expected:
        return ""
    same = _common_prefix(actual, expected)
    if same == len(actual):
        return "the output ends after %d bytes where %s was expected" % (same, _shown(expected[same:]))
    line = actual.count(b"\n", 0, same) + 1
    start_of_line = actual.rfind(b"\n", 0, same) + 1
    start = max(start_of_line, same - _BEFORE_DIFFERENCE_BYTES)
    place = "line %d, byte %d of the output" % (line, same - start_of_line + 1)
    if same == len(expected):
        return "%s: %s where the end was expected" % (place, _shown(actual[same:]))
    return "%s: %s where %s was expected" % (place, _shown(actual[start:]), _shown(expected[start:]))


def _common_prefix(left: bytes, right: bytes) -> int:
    """Returns how many first bytes are equal, by halves: slices are compared far faster than single bytes."""
    low, high = 0, min(len(left), len(right))
    while low < high:
        middle = (low + high + 1) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _shown(data: bytes) -> str:
    cut = data[:_SHOWN_BYTES]
    return "%r%s" % (cut.decode("ascii", "backslashreplace"), "..." if len(data) > len(cut) else "")
