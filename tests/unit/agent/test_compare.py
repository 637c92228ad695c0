"""Comparing outputs: what counts as equal, and saying where two differ."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox_server.agent.compare import first_difference, outputs_equal

_MODES = ("exact", "tokens", "floats")
_OUTPUTS = st.one_of(
    st.binary(max_size=200),
    st.text(alphabet="01239.+-eE naif\n\t", max_size=60).map(str.encode),
    st.lists(st.floats(), max_size=8).map(lambda values: " ".join(map(repr, values)).encode()),
)


def equal(actual: bytes, expected: bytes, mode: str, tolerance: float = 1e-9) -> bool:
    return outputs_equal(actual, expected, mode, tolerance, tolerance)


@pytest.mark.parametrize(
    ("actual", "expected", "modes"),
    [
        (b"", b"", "exact tokens floats"),
        (b"1 2\n", b"1 2", "exact tokens floats"),
        (b"1 2 \n\n", b"1 2", "exact tokens floats"),
        (b"1  2", b"1 2", "tokens floats"),
        (b"1\n2", b"1 2", "tokens floats"),
        (b" 1 2", b"1 2", "tokens floats"),
        (b"a\r\nb", b"a\nb", "tokens floats"),
        (b"1.0", b"1", "floats"),
        (b"+1", b"1", "floats"),
        (b".5", b"0.5", "floats"),
        (b"1e3", b"1000.", "floats"),
        (b"0.30000000000000004", b"0.3", "floats"),
        (b"-0.0", b"0", "floats"),
        (b"nan", b"nan", "exact tokens floats"),
        (b"inf", b"inf", "exact tokens floats"),
        (b"1e999", b"1e999", "exact tokens floats"),
        (b"nan", b"NaN", ""),
        (b"inf", b"Infinity", ""),
        (b"1e999", b"2e999", ""),
        (b"1e999", b"inf", ""),
        (b"1", b"nan", ""),
        (b"nan", b"1", ""),
        (b"1 2 3", b"1 2", ""),
        (b"1", b"1 2", ""),
        (b"", b"1", ""),
        (b"1", b"", ""),
        (b"1_000", b"1000", ""),
        (b"0x10", b"16", ""),
        ("\u0661".encode(), b"1", ""),
        (b"1.5", b"1.6", ""),
        (b"YES", b"yes", ""),
        (b"\xff\x00", b"\xff\x00", "exact tokens floats"),
        (b"\xff", b"\xfe", ""),
    ],
)
def test_outputs_that_are_equal_and_those_that_are_not(actual: bytes, expected: bytes, modes: str) -> None:
    assert [mode for mode in _MODES if equal(actual, expected, mode)] == modes.split()
    for mode in _MODES:
        assert (first_difference(actual, expected, mode) == "") == (mode in modes.split())


def test_tolerances_are_absolute_or_a_share_of_what_is_expected() -> None:
    assert outputs_equal(b"0.1", b"0.0", "floats", 0.1, 0.0)
    assert not outputs_equal(b"0.11", b"0.0", "floats", 0.1, 0.0)
    assert outputs_equal(b"99", b"100", "floats", 0.0, 0.01)
    assert not outputs_equal(b"98", b"100", "floats", 0.0, 0.01)
    # A share of 1 of an answer of its own choosing would allow everything.
    assert not outputs_equal(b"1e300", b"1", "floats", 0.0, 1.0)


def test_digit_strings_beyond_every_number_are_compared_as_text() -> None:
    digits = b"9" * 200_000
    assert equal(digits, digits + b"\n", "floats")
    assert not equal(digits, b"+" + digits, "floats")
    assert not equal(digits + b"x", digits, "floats")
    assert equal(b"1." + b"0" * 3000, b"1", "floats")


def test_a_long_output_that_ends_differently_is_told_apart() -> None:
    output = b"12 " * 400_000
    assert equal(output, output.replace(b" ", b"\n"), "tokens")
    assert not equal(output + b"1", output + b"2", "tokens")
    assert first_difference(output + b"1", output + b"2", "tokens") == (
        "line 1, token 400001 of the output: '1' where '2' was expected"
    )


@pytest.mark.parametrize(
    ("actual", "expected", "mode", "words"),
    [
        (b"a\nb c\n", b"a\nb d\n", "tokens", "line 2, token 3 of the output: 'c' where 'd' was expected"),
        (b"a", b"a b", "tokens", "the output ends after 1 tokens where 'b' was expected"),
        (b"a b", b"a", "tokens", "line 1, token 2 of the output: 'b' where the end was expected"),
        (b"ab\ncd\n", b"ab\nce\n", "exact", "line 2, byte 2 of the output: 'cd' where 'ce' was expected"),
        (b"ab", b"abc", "exact", "the output ends after 2 bytes where 'c' was expected"),
        (b"abc", b"ab", "exact", "line 1, byte 3 of the output: 'c' where the end was expected"),
    ],
)
def test_a_difference_is_told_with_its_place(actual: bytes, expected: bytes, mode: str, words: str) -> None:
    assert first_difference(actual, expected, mode) == words


def test_what_is_within_tolerance_is_no_difference() -> None:
    assert first_difference(b"1.05 2", b"1 3", "floats", 0.1, 0.0) == (
        "line 1, token 2 of the output: '2' where '3' was expected"
    )


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="comparison mode"):
        equal(b"", b"", "fuzzy")
    with pytest.raises(ValueError, match="comparison mode"):
        first_difference(b"", b"", "fuzzy")


@settings(deadline=None)
@given(_OUTPUTS, _OUTPUTS, st.sampled_from(_MODES))
def test_a_difference_is_told_exactly_when_there_is_one(actual: bytes, expected: bytes, mode: str) -> None:
    told = first_difference(actual, expected, mode)
    assert (told == "") == equal(actual, expected, mode)
    assert len(told) < 800
    assert told.isascii()
    assert not told or told.isprintable()


@settings(deadline=None)
@given(_OUTPUTS, _OUTPUTS)
def test_each_mode_is_more_lenient_than_the_one_before(actual: bytes, expected: bytes) -> None:
    answers = [equal(actual, expected, mode) for mode in _MODES]
    assert answers == sorted(answers)


@settings(deadline=None)
@given(_OUTPUTS, st.sampled_from(_MODES))
def test_every_output_equals_itself(output: bytes, mode: str) -> None:
    assert outputs_equal(output, output, mode, 0.0, 0.0)


@settings(deadline=None)
@given(_OUTPUTS, _OUTPUTS)
def test_tokens_agree_with_splitting(actual: bytes, expected: bytes) -> None:
    assert equal(actual, expected, "tokens") == (actual.split() == expected.split())


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_agree_with_their_values(left: float, right: float) -> None:
    close = left == right or abs(left - right) <= max(1e-6, 1e-6 * abs(right))
    assert outputs_equal(repr(left).encode(), repr(right).encode(), "floats", 1e-6, 1e-6) == close


@settings(deadline=None)
@given(st.sampled_from([math.nan, math.inf, -1.0]), _OUTPUTS, _OUTPUTS)
def test_odd_tolerances_never_raise(tolerance: float, actual: bytes, expected: bytes) -> None:
    assert equal(actual, expected, "floats", tolerance) in {True, False}
