"""Requests that are themselves the attack: sources that break parsers, sizes, paths, files to collect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest
from cupel_client.gen import sandbox_service_pb2 as pb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.adversarial.conftest import HONEST, limits, task

if TYPE_CHECKING:
    from tests.adversarial.conftest import Target

KINDS = ("script", "unittest", "function_check", "stdio")
DEEP = 100_000
SOURCES = {
    "nested parentheses": "(" * DEEP + ")" * DEEP,
    "nested lists": "x = " + "[" * DEEP + "]" * DEEP,
    "a chain of operators": "x = " + "-" * DEEP + "1",
    "a chain of attributes": "x = y" + ".a" * DEEP,
    "a chain of calls": "x = f" + "()" * DEEP,
    "nested blocks": "\n".join(" " * n + "if 1:" for n in range(200)) + "\n" + " " * 200 + "pass",
    "a NUL byte": "x = 1\0\n",
    "a NUL byte at the end": "x = 1\n\0",
    "an open string": "'''" + "x" * 100_000,
    "a coding cookie that lies": "# -*- coding: utf-7 -*-\n+AG8-s\n(",
    "a coding cookie of no codec": "# coding: nothing\n(",
    "a form feed and a byte order mark": "\ufeff\f\n(",
    "a number of too many digits": "x = " + "9" * 100_000 + "(",
    "a bidirectional trick": "x = '\u202e'\u2066(",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
def test_a_source_that_breaks_parsers(target: Target, kind: str, source: str) -> None:
    outcome = target.send(**task(kind, source)).result().outcome
    verdict = pb.Verdict.Name(outcome.verdict)
    # A chain may be deep and valid; then running it fails by the names that are not there.
    assert verdict in {"VERDICT_SYNTAX_ERROR", "VERDICT_RUNTIME_ERROR", "VERDICT_OUT_OF_MEMORY"}, verdict
    assert not outcome.strict.passed
    assert outcome.explanation.isprintable()


def test_such_sources_harm_nobody(target: Target) -> None:
    target.attack(**task("unittest", SOURCES["nested parentheses"]))
    target.attack(**task("script", SOURCES["a NUL byte"]))


@pytest.mark.parametrize(
    ("where", "fields"),
    [
        ("solution", task("unittest", "#" * (20 << 20))),
        ("source", task("script", "#" * (20 << 20))),
        ("the maximum and one", task("script", "#" * ((1 << 20) + 1))),
    ],
)
def test_a_source_that_is_too_large_is_refused(target: Target, where: str, fields: dict[str, Any]) -> None:
    del where
    with pytest.raises(grpc.RpcError) as refused:
        target.send(**fields).result()
    # Above what a message may have, gRPC itself refuses; below, the server says which text is too long.
    status: Any = refused.value
    assert status.code() in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED}
    target.must_be_well()


def test_the_largest_source_is_taken(target: Target) -> None:
    outcome = target.send(**task("script", "print(1)\n#" + "x" * ((1 << 20) - 10))).result().outcome
    assert outcome.verdict == pb.VERDICT_PASSED, outcome.explanation


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "a/./b", "", "a\0b", "x" * 5000, "a//b"])
@pytest.mark.parametrize("field", ["files", "collect"])
def test_paths_that_lead_out_are_refused(target: Target, path: str, field: str) -> None:
    wanted: Any = [pb.File(path=path, content=b"x")] if field == "files" else [path]
    with pytest.raises(grpc.RpcError) as refused:
        target.send(script=pb.ScriptTask(source="print(1)", **{field: wanted})).result()
    status: Any = refused.value
    assert status.code() is grpc.StatusCode.INVALID_ARGUMENT


COLLECTED = """
import os, socket
os.mkfifo("fifo")
os.symlink("/etc/passwd", "link")
os.symlink("/dev/zero", "zero")
os.symlink("/proc/self/environ", "environ")
os.symlink("loop", "loop")
os.mkdir("folder")
os.symlink("/etc", "etc")
os.link("fine", "hard") if os.path.exists("fine") else None
open("fine", "w").write("fine")
os.truncate("fine", 4)
open("large", "wb").truncate(8 << 20)
socket.socket(socket.AF_UNIX).bind("socket")
os.chmod(".", 0o111)
"""


def test_only_regular_files_are_collected(target: Target) -> None:
    names = ["fifo", "link", "zero", "environ", "loop", "folder", "etc/passwd", "fine", "large", "socket", "fine/x"]
    outcome = target.attack(script=pb.ScriptTask(source=COLLECTED, collect=names))
    assert outcome.verdict == pb.VERDICT_PASSED, outcome.error
    assert {file.path: file.content for file in outcome.files} == {"fine": b"fine"}


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        pytest.param({"a": b"x", "a/b": b"x"}, {}, id="a file that is a folder"),
        pytest.param({"a/b": b"x", "a": b"x"}, {}, id="a folder that is a file"),
        pytest.param({"big": b"x" * (1 << 20)}, {"disk_bytes": 1 << 16}, id="more than the disk"),
        pytest.param({"big": b"x" * (1 << 20)}, {"file_size_bytes": 1 << 10}, id="more than a file"),
        pytest.param({"n" * 300: b"x"}, {}, id="a name too long"),
        pytest.param({"/".join(["n"] * 33): b"x"}, {}, id="a path too deep"),
    ],
)
def test_files_that_cannot_be_placed_are_not_the_servers_fault(
    target: Target, files: dict[str, bytes], wanted: dict[str, float]
) -> None:
    given_files = [pb.File(path=path, content=content) for path, content in files.items()]
    try:
        outcome = (
            target.send(script=pb.ScriptTask(source="print(1)", files=given_files), limits=limits(**wanted))
            .result()
            .outcome
        )
    except grpc.RpcError as refused:
        status: Any = refused
        assert status.code() is grpc.StatusCode.INVALID_ARGUMENT
    else:
        assert outcome.verdict != pb.VERDICT_SANDBOX_ERROR, outcome.explanation
    target.must_be_well()


@pytest.mark.parametrize("kind", KINDS)
def test_the_least_limits_judge_and_do_not_break(target: Target, kind: str) -> None:
    least = pb.Limits(
        memory_bytes=16 << 20, processes=1, output_bytes=1, captured_bytes=1, disk_bytes=1 << 16, file_size_bytes=1,
        open_files=16,
    )  # fmt: skip
    outcome = target.send(**task(kind, HONEST), limits=least).result().outcome
    assert outcome.verdict != pb.VERDICT_SANDBOX_ERROR, outcome.explanation
    target.must_be_well()


@pytest.mark.parametrize("name", ["PYTHONPATH", "LD_PRELOAD", "PYTHONSTARTUP", "PYTHONHOME", "LD_LIBRARY_PATH", "TZ"])
def test_variables_that_interpreters_obey_change_no_judge(target: Target, name: str) -> None:
    wrong = HONEST.replace("+ 1", "- 1")
    outcome = target.send(**task("unittest", wrong), environment_variables={name: "/cell/work:/tmp"}).result().outcome
    assert outcome.verdict == pb.VERDICT_FAILED_ASSERTION


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(KINDS), source=st.text(max_size=200))
def test_no_text_at_all_makes_the_server_fail(target: Target, kind: str, source: str) -> None:
    try:
        fields = task(kind, source)
    except UnicodeEncodeError:
        return  # no message can hold a lone surrogate
    outcome = target.send(**fields).result().outcome
    assert outcome.verdict not in {pb.VERDICT_SANDBOX_ERROR, pb.VERDICT_UNSPECIFIED}, outcome.explanation
    assert outcome.strict.passed is (outcome.verdict == pb.VERDICT_PASSED)
