import base64
import copy
import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_server.model import Limit, Limits, MemorySource, Stage, TestStatus
from sandbox_server.runtimes.facts import parse_facts, parse_parsed, parse_ready
from sandbox_server.runtimes.frames import FrameError

LIMITS = Limits(captured_bytes=100)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


FACTS: dict[str, Any] = {
    "op": "facts",
    "cell": 7,
    "stage": "complete",
    "exit_code": None,
    "exit_signal": 9,
    "limit": "memory",
    "refused_resources": ["disk"],
    "error": {
        "type_name": "ModuleNotFoundError",
        "message": "m",
        "traceback": "t",
        "missing_module": "np",
        "kind": "error",
    },
    "reported_tests": ["test_a", "test_b"],
    "results": [{"test_id": "test_a", "status": "failed", "detail": "d", "seconds": 0.5}],
    "tampering": ["touched the channel"],
    "cancelled": False,
    "stdout": {"head_b64": b64(b"\xff\x00"), "tail_b64": "", "total_bytes": 2},
    "stderr": {"head_b64": "", "tail_b64": b64(b"end"), "total_bytes": 10**10},
    "usage": {
        "cpu_user_s": 1.5,
        "cpu_system_s": 0,
        "wall_s": 2.0,
        "peak_memory_bytes": 4096,
        "memory_source": "cgroup",
        "peak_processes": 3,
    },
    "files": [{"path": "out.txt", "content_b64": b64(b"x")}],
    "timeline": {"forked_us": 1, "started_us": 2, "ended_us": -1},
    "sandbox_fault": None,
}


def changed(path: str, value: Any) -> dict[str, Any]:
    message = copy.deepcopy(FACTS)
    place: Any = message
    *parents, last = path.split(".")
    for part in parents:
        place = place[int(part)] if part.isdigit() else place[part]
    place[int(last) if last.isdigit() else last] = value
    return message


def test_reads_every_fact() -> None:
    facts = parse_facts(FACTS, LIMITS, 1_000_000)
    assert (facts.stage, facts.exit_code, facts.exit_signal) == (Stage.COMPLETE, None, 9)
    assert facts.limit is Limit.MEMORY
    assert facts.refused_resources == ("disk",)
    assert facts.error is not None
    assert facts.error.missing_module == "np"
    assert facts.reported_tests == ("test_a", "test_b")
    assert facts.results[0].status is TestStatus.FAILED
    assert facts.results[0].duration == timedelta(seconds=0.5)
    assert facts.tampering == ("touched the channel",)
    assert facts.stdout.head == b"\xff\x00"
    assert facts.stderr.total_bytes == 10**10
    assert facts.usage.memory_source is MemorySource.CGROUP
    assert facts.usage.cpu_user == timedelta(seconds=1.5)
    assert facts.files[0].content == b"x"
    assert (facts.timeline.forked_ns, facts.timeline.started_ns) == (1_001_000, 1_002_000)
    assert facts.timeline.ended_ns == 0


def test_a_cell_that_never_came_to_be_has_a_fault_only() -> None:
    fault = {"reason": "CELL_NOT_BUILT", "message": "no"}
    facts = parse_facts({"op": "facts", "cell": 1, "sandbox_fault": fault}, LIMITS, 0)
    assert facts.sandbox_fault is not None
    assert (facts.stage, facts.sandbox_fault.reason) == (Stage.NOT_STARTED, "CELL_NOT_BUILT")
    assert parse_facts({"op": "facts", "cell": 1, "cancelled": True}, LIMITS, 0).cancelled


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("stage", "won"),
        ("stage", None),
        ("stage", ["complete"]),
        ("exit_code", 256),
        ("exit_code", True),
        ("exit_code", 0.0),
        ("exit_signal", 0),
        ("exit_signal", 65),
        ("limit", "patience"),
        ("refused_resources", ["sleep"]),
        ("refused_resources", "disk"),
        ("error", "boom"),
        ("error.kind", "fatal"),
        ("error.message", 3),
        ("reported_tests", [1]),
        ("reported_tests", "test_a"),
        ("results", {}),
        ("results", [[]]),
        ("results.0.status", "won"),
        ("results.0.seconds", math.inf),
        ("results.0.seconds", math.nan),
        ("results.0.seconds", -1),
        ("results.0.seconds", 10**400),
        ("results.0.seconds", "1"),
        ("results.0.test_id", None),
        ("tampering", [None]),
        ("cancelled", 0),
        ("stdout", None),
        ("stdout.head_b64", "not base64!"),
        ("stdout.head_b64", "QQ"),
        ("stdout.head_b64", "\ud800"),
        ("stdout.head_b64", b64(b"x" * 101)),
        ("stdout.total_bytes", 1),
        ("stdout.total_bytes", 2**63),
        ("usage.peak_memory_bytes", -1),
        ("usage.peak_memory_bytes", 2**63),
        ("usage.peak_processes", 2**31),
        ("usage.memory_source", "guess"),
        ("usage.cpu_user_s", True),
        ("files", [{"path": "x"}]),
        ("timeline", []),
        ("timeline.ended_us", -2),
        ("timeline.ended_us", 2**60),
        ("sandbox_fault", {"reason": 1, "message": ""}),
    ],
)
def test_a_fact_that_breaks_its_form_is_refused(path: str, value: Any) -> None:
    with pytest.raises(FrameError):
        parse_facts(changed(path, value), LIMITS, 0)


def test_long_and_strange_texts_are_the_samples_doing() -> None:
    facts = parse_facts(changed("results.0.detail", "x" * 10**6), LIMITS, 0)
    assert len(facts.results[0].detail) < 70_000
    assert facts.results[0].detail.endswith("more characters]")
    facts = parse_facts(changed("error.traceback", "a\ud800b"), LIMITS, 0)
    assert facts.error is not None
    assert facts.error.traceback == "a?b"


def test_details_are_bounded_together() -> None:
    results = [{**FACTS["results"][0], "detail": "x" * 60_000}] * 100
    facts = parse_facts({**FACTS, "results": results}, LIMITS, 0)
    assert len(facts.results) == 100
    assert sum(len(result.detail) for result in facts.results) < 600_000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(FACTS)), JSON)
def test_whatever_a_field_holds_it_is_facts_or_an_error(field: str, value: Any) -> None:
    try:
        parse_facts({**FACTS, field: value}, LIMITS, 0)
    except FrameError as error:
        assert str(error)  # noqa: PT017 -- both ends are allowed, and nothing else


READY = {
    "op": "ready",
    "python": "3.11.7",
    "digest": "d",
    "profiles": ["scientific"],
    "walls": [{"name": "seccomp", "standing": True, "detail": "x"}],
    "memory_source": "sampled",
}


def test_reads_what_a_worker_is() -> None:
    ready = parse_ready(READY)
    assert (ready.python_version, ready.profiles) == ("3.11.7", ("scientific",))
    assert ready.walls[0].standing
    with pytest.raises(FrameError):
        parse_ready({**READY, "walls": [{"name": "seccomp", "standing": "yes", "detail": ""}]})


INVENTORY = {"packages": {"scikit-learn": "1.5.0"}, "modules": ["sklearn", "_private"]}


def test_reads_what_is_installed() -> None:
    environment = parse_ready({**READY, **INVENTORY}).environment("scientific")
    assert (environment.name, environment.digest, environment.python_version) == ("scientific", "d", "3.11.7")
    assert environment.packages == {"scikit-learn": "1.5.0"}
    assert environment.modules == {"sklearn", "_private"}


def test_an_agent_that_tells_of_no_packages_has_none() -> None:
    environment = parse_ready(READY).environment("old")
    assert (environment.packages, environment.modules) == ({}, frozenset())


@pytest.mark.parametrize(
    "broken",
    [
        {"packages": ["numpy"]},
        {"packages": {"Numpy": "1"}},
        {"packages": {"numpy\x1b[2J": "1"}},
        {"packages": {"a" * 201: "1"}},
        {"packages": {"numpy": 1}},
        {"packages": {"numpy": ""}},
        {"packages": {"numpy": "1\n"}},
        {"packages": {f"p{number}": "1" for number in range(5_001)}},
        {"modules": "numpy"},
        {"modules": ["os.path"]},
        {"modules": ["a b"]},
        {"modules": [f"m{number}" for number in range(100_001)]},
    ],
)
def test_an_inventory_that_breaks_its_form_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(FrameError, match=next(iter(broken))):
        parse_ready({**READY, **broken})


@given(st.sampled_from(["packages", "modules"]), JSON)
def test_whatever_an_inventory_holds_it_is_read_or_refused(field: str, value: Any) -> None:
    try:
        parse_ready({**READY, field: value})
    except FrameError as error:
        assert field in str(error)  # noqa: PT017 -- both ends are allowed, and nothing else


def test_reads_what_a_parse_found() -> None:
    assert parse_parsed({"fault": None}) is None
    fault = parse_parsed({"fault": {"message": "m", "line": 1, "column": 0}})
    assert fault is not None
    assert fault.line == 1
    for bad in ("x", {"message": "m", "line": -1, "column": 0}, {"line": 1, "column": 1}):
        with pytest.raises(FrameError):
            parse_parsed({"fault": bad})
