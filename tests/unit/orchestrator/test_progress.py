"""Progress says what is so, harmlessly."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.console import Console

from orchestrator.bar import Bar
from orchestrator.model import Result
from orchestrator.progress import Lines, Silence

if TYPE_CHECKING:
    import pytest


def result(*, passed: bool, verdict: str = "PASSED") -> Result:
    return Result("a", "a", 0, 1, verdict, "", passed, "", passed, {}, {})


def test_a_line_now_and_then_and_at_the_end() -> None:
    now = 0.0
    lines: list[str] = []
    progress = Lines(lines.append, lambda: now)
    progress.start(5, 2)
    now = 2.0
    progress.note(result(passed=True))
    assert lines == ["cupel: 5 samples, 2 of them judged before"]
    now = 10.0
    progress.note(result(passed=False))
    assert lines[1:] == ["cupel: 4/5, 0.2/s, 50.0 % pass"]
    progress.note(result(passed=False, verdict="SANDBOX_ERROR"))
    assert lines[2:] == ["cupel: 5/5, 0.3/s, 50.0 % pass"], "a sandbox error is not a fail"
    progress.say("\x1b[2Jx")
    assert lines[3:] == ["cupel: \\x1b[2Jx"]
    progress.stop()


def test_a_bar_shows_rate_and_share_and_escapes_what_it_is_told() -> None:
    stream = io.StringIO()
    bar = Bar(Console(file=stream, force_terminal=True, width=120, color_system=None))
    bar.start(2, 0)
    bar.note(result(passed=True))
    bar.note(result(passed=False))
    bar.say("[bold]\x07x")
    bar.stop()
    shown = stream.getvalue()
    assert "2/2" in shown
    assert "50.0 % pass" in shown
    assert "cupel: [bold]\\x07x" in shown


def test_silence_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    silence = Silence()
    silence.start(1, 0)
    silence.note(result(passed=True))
    silence.say("x")
    silence.stop()
    assert capsys.readouterr() == ("", "")
