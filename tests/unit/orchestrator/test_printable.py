"""Nothing that a terminal would act on is printed."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.printable import printable


@given(st.text(st.characters(codec=None)))
def test_what_comes_out_is_one_harmless_line(text: str) -> None:
    shown = printable(text)
    assert not any(unicodedata.category(char).startswith("C") for char in shown)
    shown.encode()


def test_honest_text_is_left_as_it_is() -> None:
    assert printable("Größe: 3 µm, [bold]") == "Größe: 3 µm, [bold]"


def test_escapes_are_shown_and_long_text_is_cut() -> None:
    assert printable("\x1b[2Jx\u202e\ud800") == "\\x1b[2Jx\\u202e\\ud800"
    assert printable("a" * 10, 4) == "aaaa…"
