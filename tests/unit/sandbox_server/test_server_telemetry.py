import json
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from sandbox_server import telemetry


@pytest.fixture(autouse=True)
def usual_logging() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def test_logs_one_line_of_json_that_nothing_in_it_can_break(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure("info", "json")
    log = structlog.get_logger("test")
    log.debug("unseen")
    log.warning("anomaly", sample_id="a\nb\x1b[31m\ud800\u202e", number=3)
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    seen = json.loads(line)
    assert seen["sample_id"] == "a\\u000ab\\u001b[31m\\ud800\\u202e"
    assert (seen["event"], seen["level"], seen["number"]) == ("anomaly", "warning", 3)


def test_logs_traces(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure("info", "json")
    try:
        int("why")
    except ValueError:
        structlog.get_logger("test").exception("failed")
    assert "ValueError: invalid literal" in json.loads(capsys.readouterr().err)["exception"]


@given(st.text())
def test_escaped_text_is_short_and_printable(text: str) -> None:
    escaped = telemetry.escape(text * 100)
    assert len(escaped) <= 6 * 4096 + 3
    escaped.encode("utf-8")
    assert not any(ord(character) < 32 for character in escaped)
