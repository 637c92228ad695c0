"""The report reader: accepts what keeps the protocol, records what breaks it, never raises."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox_server.agent.harness import report
from sandbox_server.agent.harness.report import ReportReader

NONCE = "00ff"

_ERROR = {"type_name": "ValueError", "message": "no", "traceback": "", "missing_module": "", "kind": "error"}


def up(value: Any) -> bytes:
    return json.dumps(value).encode()


def asked(nonce: str = NONCE) -> ReportReader:
    """Returns a reader that has handed out the tests."""
    reader = ReportReader(new_nonce=lambda: nonce)
    assert reader.feed(up({"loaded": True}))
    reader.tests_message({"source": ""})
    return reader


def result(test_id: Any = "test_a", status: Any = "passed", **more: Any) -> dict[str, Any]:
    return {"test_id": test_id, "status": status, "detail": "", "seconds": 0.5, **more}


def send(reader: ReportReader, *bodies: dict[str, Any], nonce: str = NONCE, first: int = 0) -> None:
    for seq, body in enumerate(bodies, first):
        assert reader.feed(up({"nonce": nonce, "seq": seq, **body})) is False


def test_an_honest_report_is_complete() -> None:
    reader = asked()
    send(reader, {"tests": ["test_a", "test_b"]}, {"result": result()}, {"result": result("test_b", "failed")})
    assert reader.stage == "testing"
    send(reader, {"done": True}, first=3)
    assert reader.facts() == {
        "stage": "complete",
        "error": None,
        "reported_tests": ["test_a", "test_b"],
        "results": [
            {"test_id": "test_a", "status": "passed", "detail": "", "message": "", "seconds": 0.5},
            {"test_id": "test_b", "status": "failed", "detail": "", "message": "", "seconds": 0.5},
        ],
        "tampering": [],
        "integrity": [],
    }


def test_the_nonce_is_drawn_when_the_tests_are_sent_and_not_before() -> None:
    drawn: list[str] = []

    def draw() -> str:
        drawn.append("x")
        return "x"

    reader = ReportReader(new_nonce=draw)
    reader.feed(up({"loaded": True}))
    assert drawn == []
    message = reader.tests_message({"source": "é"})
    assert drawn == ["x"]
    assert int.from_bytes(message[:4], "big") == len(message) - 4
    assert json.loads(message[4:]) == {"nonce": "x", "tests": {"source": "é"}}


def test_nonces_differ() -> None:
    assert len({report.draw_nonce() for _ in range(50)}) == 50


def test_an_error_while_loading_is_the_last_message() -> None:
    reader = ReportReader()
    assert not reader.feed(up({"error": _ERROR}))
    assert reader.error == _ERROR
    assert reader.stage == "loading"
    assert not reader.feed(up({"loaded": True}))
    assert reader.tampering == ["a message after the last one"]


def test_an_error_that_no_test_owns_leaves_the_stage_at_testing() -> None:
    reader = asked()
    send(reader, {"error": _ERROR})
    assert (reader.stage, reader.error, reader.tampering) == ("testing", _ERROR, [])


def test_a_kind_without_tests_cannot_ask_for_them() -> None:
    reader = ReportReader(takes_tests=False)
    assert not reader.feed(up({"loaded": True}))
    assert reader.tampering == ["an unexpected message before the tests"]
    assert not reader.feed(up({"error": _ERROR}))
    assert reader.error == _ERROR


def test_a_long_plan_comes_in_parts() -> None:
    reader = asked()
    send(reader, {"tests": ["a"], "more": True})
    assert reader.reported_tests is None
    send(reader, {"tests": ["b"]}, first=1)
    assert reader.reported_tests == ["a", "b"]


def test_integrity_is_kept_apart_from_tampering() -> None:
    reader = asked()
    send(reader, {"integrity": ["after loading: TestCase.run"]}, {"tests": []}, {"integrity": ["\ud800"]})
    assert reader.integrity == ["after loading: TestCase.run", "?"]
    assert reader.tampering == []


def test_integrity_is_bounded() -> None:
    reader = asked()
    send(reader, {"integrity": ["x" * 1000] * 50}, {"integrity": ["y"]})
    assert len(reader.integrity) == report.MAXIMUM_INTEGRITY
    assert max(map(len, reader.integrity)) == 200


def test_a_fixture_may_fail_more_than_once_and_never_pass() -> None:
    reader = asked()
    send(
        reader,
        {"tests": ["test_a"]},
        {"result": result("TestCases)", "error")},
        {"result": result("TestCases)", "error")},
    )
    assert reader.tampering == []
    reader.feed(up({"nonce": NONCE, "seq": 3, "result": result("TestCases)", "passed")}))
    assert reader.tampering == ["a result of a test that is not in the plan"]
    assert len(reader.results) == 2


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (b"", "not JSON"),
        (b"OK", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 50_000, "not JSON"),
        (b"9" * 50_000, "not JSON"),
        (b'{"nonce": NaN}', "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "wrong nonce"),
        (up({"loaded": True}), "second request"),
        (up({"nonce": "00fe", "seq": 1, "done": True}), "wrong nonce"),
        (up({"nonce": [NONCE], "seq": 1, "done": True}), "wrong nonce"),
        (up({"nonce": NONCE, "seq": 0, "done": True}), "out of order"),
        (up({"nonce": NONCE, "seq": 2, "done": True}), "out of order"),
        (up({"nonce": NONCE, "seq": True, "done": True}), "out of order"),
        (up({"nonce": NONCE, "seq": 1.0, "done": True}), "out of order"),
        (up({"nonce": NONCE, "seq": 1, "done": 1}), "no known form"),
        (up({"nonce": NONCE, "seq": 1, "done": True, "x": 1}), "no known form"),
        (up({"nonce": NONCE, "seq": 1, "tests": ["b"]}), "second plan"),
        (up({"nonce": NONCE, "seq": 1, "result": []}), "result of no known form"),
        (up({"nonce": NONCE, "seq": 1, "result": {**result(), "x": 1}}), "result of no known form"),
        (up({"nonce": NONCE, "seq": 1, "result": result("test_b")}), "not in the plan"),
        (up({"nonce": NONCE, "seq": 1, "result": result("")}), "test's name"),
        (up({"nonce": NONCE, "seq": 1, "result": result("x" * 301)}), "test's name"),
        (up({"nonce": NONCE, "seq": 1, "result": result(7)}), "test's name"),
        (up({"nonce": NONCE, "seq": 1, "result": result(status="won")}), "unknown status"),
        (up({"nonce": NONCE, "seq": 1, "result": result(status="wrong_output")}), "unknown status"),
        (up({"nonce": NONCE, "seq": 1, "result": result(status=["passed"])}), "unknown status"),
        (up({"nonce": NONCE, "seq": 1, "result": result(seconds=-1)}), "duration"),
        (up({"nonce": NONCE, "seq": 1, "result": result(seconds=True)}), "duration"),
        (up({"nonce": NONCE, "seq": 1, "result": result(seconds="0")}), "duration"),
        (up({"nonce": NONCE, "seq": 1, "result": result(seconds=10**400)}), "duration"),
        (up({"nonce": NONCE, "seq": 1, "result": result(seconds=7)}).replace(b"7", b"1e999"),
         "duration"),
        (up({"nonce": NONCE, "seq": 1, "result": result(detail=None)}), "detail is not text"),
        (up({"nonce": NONCE, "seq": 1, "result": result(message=7)}), "message is not text"),
        (up({"nonce": NONCE, "seq": 1, "error": "x"}), "error of no known form"),
        (up({"nonce": NONCE, "seq": 1, "error": {**_ERROR, "kind": "fine"}}), "unknown kind"),
        (up({"nonce": NONCE, "seq": 1, "integrity": "x"}), "integrity is not a list"),
        (up({"nonce": NONCE, "seq": 1, "done": True, "pad": "x" * 60_000}), "more than 60000 bytes"),
    ],
)  # fmt: skip
def test_what_breaks_the_form_is_tampering_and_changes_nothing_else(message: bytes, words: str) -> None:
    reader = asked()
    send(reader, {"tests": ["test_a"]})
    assert reader.feed(message) is False
    assert len(reader.tampering) == 1
    assert words in reader.tampering[0]
    assert reader.results == []
    assert reader.stage == "testing"
    # What an honest harness then says still counts, beside the record of the breach.
    send(reader, {"result": result()}, {"done": True}, first=1)
    assert reader.stage == "complete"
    assert len(reader.results) == 1


def test_each_declared_test_is_reported_once() -> None:
    reader = asked()
    send(reader, {"tests": ["test_a"]}, {"result": result(status="failed")})
    reader.feed(up({"nonce": NONCE, "seq": 2, "result": result(status="passed")}))
    assert reader.tampering == ["a second result of one test"]
    assert [one["status"] for one in reader.results] == ["failed"]


def test_a_plan_that_names_a_test_twice_is_tampering() -> None:
    reader = asked()
    send(reader, {"tests": ["test_a", "test_a"]})
    assert reader.tampering == ["a plan that names a test twice"]


@pytest.mark.parametrize("body", [{"result": result()}, {"done": True}])
def test_nothing_is_said_before_the_plan(body: dict[str, Any]) -> None:
    reader = asked()
    reader.feed(up({"nonce": NONCE, "seq": 0, **body}))
    assert len(reader.tampering) == 1
    assert reader.stage == "testing"


def test_a_message_after_done_is_tampering() -> None:
    reader = asked()
    send(reader, {"tests": []}, {"done": True})
    reader.feed(up({"nonce": NONCE, "seq": 2, "error": _ERROR}))
    assert reader.tampering == ["a message after the last one"]
    assert reader.error is None


def test_results_before_the_tests_were_sent_are_tampering() -> None:
    reader = ReportReader()
    assert reader.feed(up({"loaded": True}))
    reader.feed(up({"nonce": None, "seq": 0, "tests": []}))
    assert reader.tampering == ["a message with a wrong nonce"]


def test_tampering_is_bounded() -> None:
    reader = ReportReader()
    for count in range(100):
        reader.feed(b"x" * count)
        reader.feed(up({"nonce": str(count)}))
    assert len(reader.tampering) <= report.MAXIMUM_TAMPERING


def test_texts_are_cut_and_can_be_written_as_utf_8() -> None:
    reader = asked()
    long = "\ud800" + "é" * 20_000
    send(
        reader,
        {"tests": ["\udfff"]},
        {"result": result("\udfff", "failed", detail=long[:5000], message=long[:4000])},
    )
    (one,) = reader.results
    assert one["test_id"] == "?"
    assert len(one["detail"]) == 5000
    assert len(one["message"]) == 2048
    json.dumps(reader.facts(), ensure_ascii=False).encode("utf-8")


def test_a_long_detail_is_cut() -> None:
    reader = asked()
    send(reader, {"tests": ["test_a"]}, {"result": result(detail="x" * 50_000)})
    assert len(reader.results[0]["detail"]) == 16 << 10


def test_reports_beyond_the_bound_are_tampering() -> None:
    reader = asked()
    send(reader, {"tests": [f"test_{number}" for number in range(90)]})
    for number in range(90):
        message = {
            "nonce": NONCE,
            "seq": number + 1,
            "result": result(f"test_{number}", detail="x" * 55_000),
        }
        reader.feed(up(message))
    assert len(reader.results) < 90
    assert reader.tampering == ["more than 4194304 bytes of reports"]


def test_a_plan_beyond_the_bound_is_tampering() -> None:
    reader = asked()
    for seq in range(11):
        names = [f"t{number}" for number in range(seq * 2000, seq * 2000 + 2000)]
        reader.feed(up({"nonce": NONCE, "seq": seq, "tests": names, "more": True}))
    assert reader.tampering == ["a plan of more than 20000 tests"]


def test_fixtures_beyond_the_bound_of_results_are_tampering() -> None:
    reader = asked()
    send(reader, {"tests": []})
    message = '{"nonce":"%s","seq":%d,"result":{"test_id":"f","status":"error","detail":"","seconds":0}}'
    for seq in range(1, report.MAXIMUM_RESULTS + 2):
        reader.feed((message % (NONCE, seq)).encode())
    assert len(reader.results) == report.MAXIMUM_RESULTS
    assert reader.tampering == ["more than 20000 results"]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
_KEYS = st.sampled_from(
    ["loaded", "nonce", "seq", "tests", "more", "result", "error", "done", "integrity", "test_id", "status",
     "detail", "message", "seconds", "type_name", "traceback", "missing_module", "kind"]
)  # fmt: skip
_WORDS = st.sampled_from([NONCE, 0, 1, 2, True, "passed", "failed", "error", "test_a", 0.1, -1, "\ud800"])
_LIKELY = st.recursive(
    _WORDS | _JSON,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=5),
    max_leaves=12,
)
_MESSAGES = st.binary(max_size=300) | _JSON.map(up) | st.dictionaries(_KEYS, _LIKELY, max_size=5).map(up)


@settings(deadline=None)
@given(st.lists(_MESSAGES, max_size=12), st.booleans())
def test_nothing_that_is_fed_raises(messages: list[bytes], handed_out: bool) -> None:  # noqa: FBT001  # drawn
    reader = asked() if handed_out else ReportReader(new_nonce=lambda: NONCE)
    for message in messages:
        if reader.feed(message):
            reader.tests_message({})
    json.dumps(reader.facts(), allow_nan=False, ensure_ascii=False).encode("utf-8")
    assert len(reader.tampering) <= report.MAXIMUM_TAMPERING


@settings(deadline=None)
@given(st.lists(_MESSAGES, max_size=12))
def test_who_does_not_know_the_nonce_reports_no_result(messages: list[bytes]) -> None:
    reader = asked(nonce="a nonce that is in no message")
    for message in messages:
        reader.feed(message)
    assert reader.results == []
    assert reader.reported_tests is None
    assert reader.stage == "testing"
