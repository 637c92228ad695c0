"""Every program in `programs`: its named verdict, and harm to nobody."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cupel_client.gen import sandbox_service_pb2 as pb

from tests.adversarial.conftest import limits, task

if TYPE_CHECKING:
    from tests.adversarial.conftest import Target

FOLDER = Path(__file__).parent / "programs"
# What the negative control (part 4) is for. A cheat that leaves this list must be seen by another layer; one that has
# to be added to it is a hole.
PASS_TODAY = {
    "always_equal", "always_equal_checked", "mock_any", "reads_expectation", "reads_the_nonce", "rewrites_recorder",
}  # fmt: skip
HONEST = {
    "daemon", "every_descriptor", "harms_first_process", "honest_failed", "kills_everybody",
    "leaves_underscore_in_script", "output_by_orphans", "undeletable",
}  # fmt: skip


@dataclass(frozen=True)
class Program:
    """A hostile program with its header."""

    name: str
    source: str
    tries: str
    kind: str
    verdict: str
    compat: str | None = None
    says: str = ""
    limits: dict[str, float] = field(default_factory=dict)


def program(path: Path) -> Program:
    """Reads a program and its header."""
    source = path.read_text(encoding="utf-8")
    header: dict[str, str] = {}
    for line in source.splitlines():
        name, colon, value = line.removeprefix("# ").partition(": ")
        if not line.startswith("# ") or not colon or " " in name:
            break
        header[name] = value
    pairs = (pair.split("=") for pair in header.get("limits", "").split())
    return Program(
        path.stem,
        source,
        header["tries"],
        header["kind"],
        header["verdict"],
        header.get("compat"),
        header.get("says", ""),
        {name: float(value) for name, value in pairs},
    )


PROGRAMS = [program(path) for path in sorted(FOLDER.glob("*.py"))]


@pytest.mark.parametrize("one", PROGRAMS, ids=[one.name for one in PROGRAMS])
def test_a_hostile_program(target: Target, one: Program) -> None:
    fields = task(one.kind, one.source, target.arguments())
    outcome = target.attack(limits=limits(**one.limits), **fields)
    seen = (outcome.explanation, outcome.error[-500:], outcome.stdout.head[-500:], outcome.stderr.tail[-300:])
    assert pb.Verdict.Name(outcome.verdict) == f"VERDICT_{one.verdict}", seen
    assert outcome.strict.passed == (one.verdict == "PASSED")
    if one.compat is not None:
        assert outcome.compat.status.startswith(one.compat), outcome.compat.status
    assert one.says.encode() in outcome.stdout.head
    assert len(outcome.stdout.head) + len(outcome.stdout.tail) <= 4096
    assert outcome.explanation.isprintable()
    assert not outcome.missing_walls


def test_what_is_looked_for_afterwards_would_be_seen(target: Target) -> None:
    if target.runtime == "docker" and not target.containers():
        pytest.skip("the engine is on another machine")
    answer = target.send(**task("script", "import time; time.sleep(1)"))
    while not target.cells():
        assert not answer.done()
    answer.result()
    target.must_be_well()


def test_only_what_a_later_layer_must_see_passes() -> None:
    passing = {one.name for one in PROGRAMS if one.verdict == "PASSED"}
    assert passing == PASS_TODAY | HONEST


def test_no_sample_is_expected_to_blame_the_server() -> None:
    assert not {one.name for one in PROGRAMS if one.verdict in {"SANDBOX_ERROR", "CANCELLED"}}
