"""What is in the journal counts once, whatever happened to the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import CupelError, ResultsExistError, UsageError
from orchestrator.journal import (
    Entry,
    JournalDamagedError,
    keep_old,
    open_journal,
    parse_entry,
    sample_digest,
)
from orchestrator.model import FunctionCheckTask, Limits, Sample, StdioCase, StdioTask

if TYPE_CHECKING:
    from pathlib import Path

RUN = {"dataset": "demo", "seed": 0}


def read(path: Path, run: dict[str, Any] = RUN) -> tuple[list[Entry], tuple[int, int]]:
    entries: list[Entry] = []

    def take(entry: Entry) -> bool:
        entries.append(entry)
        return True

    with open_journal(path) as journal:
        return entries, journal.read(run, take)


def write(path: Path, count: int) -> None:
    with open_journal(path) as journal:
        journal.read(RUN, lambda _: True)
        for number in range(count):
            journal.append(f"T/{number}#0", "d", {"verdict": "VERDICT_PASSED", "n": number})


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    write(path, 3)
    entries, (garbled, passed_over) = read(path)
    assert [entry.sample_id for entry in entries] == ["T/0#0", "T/1#0", "T/2#0"]
    assert entries[2].outcome == {"verdict": "VERDICT_PASSED", "n": 2}
    assert (garbled, passed_over) == (0, 0)


def test_outcomes_are_read_back_by_sample_the_last_one_counts(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    write(path, 3)
    with open_journal(path) as journal:
        journal.read(RUN, lambda entry: entry.sample_id != "T/1#0")
        journal.append("T/0#0", "d", {"n": 7})
        assert journal.outcome("T/0#0") == {"n": 7}
        assert journal.outcome("T/2#0")["n"] == 2
        assert "T/1#0" not in journal


def test_any_cut_loses_one_line_at_most_and_heals(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    write(path, 4)
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        entries, (garbled, _) = read(path)
        assert len(entries) == max(whole[:cut].count(b"\n") - 1, 0)
        assert garbled == 0
        assert path.read_bytes().endswith(b"\n")
        with open_journal(path) as journal:
            journal.read(RUN, lambda _: True)
            journal.append("new", "d", {})
            assert journal.outcome("new") == {}
        assert len(read(path)[0]) == len(entries) + 1


@given(st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")), max_size=5))
def test_garbled_lines_are_passed_over(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal"
    write(path, 1)
    path.write_bytes(path.read_bytes() + b"".join(line + b"\n" for line in lines))
    with open_journal(path) as journal:
        journal.append("last", "d", {"n": 1})
        # What was appended before anything was read is found all the same.
        garbled, _ = journal.read(RUN, lambda _: True)
        assert journal.outcome("last") == {"n": 1}
    assert garbled == len(lines)


@given(st.binary())
def test_no_bytes_but_an_entry_are_one(line: bytes) -> None:
    try:
        entry = parse_entry(line)
    except JournalDamagedError:
        return
    assert isinstance(entry.sample_id, str)


@pytest.mark.parametrize(
    "line",
    [b"[]", b"1", b'{"sample_id": 1}', b'{"sample_id": "a", "digest": "b", "outcome": []}', b"[" * 100_000],
)
def test_json_that_is_no_entry_is_told_apart(line: bytes) -> None:
    with pytest.raises(JournalDamagedError):
        parse_entry(line)


@pytest.mark.parametrize(
    "content", [b"my novel, without a line end", b"my novel\n", b'{"journal": 99, "run": {}}\n', b"[]\n"]
)
def test_what_is_no_journal_is_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "journal"
    path.write_bytes(content)
    with pytest.raises(ResultsExistError, match="--no-resume"):
        read(path)
    assert path.read_bytes() == content


def test_the_journal_of_another_run_is_refused_with_the_difference(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    write(path, 1)
    with pytest.raises(ResultsExistError, match=r"seed was 0, is 1.*--no-resume"):
        read(path, {"dataset": "demo", "seed": 1})
    assert len(read(path)[0]) == 1


def test_two_runs_never_share_a_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with open_journal(path), pytest.raises(UsageError, match="another run"):
        open_journal(path)
    open_journal(path).__exit__()


def test_a_folder_that_is_not_there_is_an_error_for_people(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--out"):
        open_journal(tmp_path / "none" / "journal")


def test_a_full_disk_is_an_error_for_people() -> None:
    from pathlib import Path  # noqa: PLC0415 - only this test needs it at run time

    with open_journal(Path("/dev/full")) as journal, pytest.raises(CupelError, match="No space left"):
        journal.append("a", "d", {})


def test_old_files_are_kept_all_of_them(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    assert keep_old(path) is None
    names = []
    for content in ("1", "2", "3"):
        path.write_text(content)
        kept = keep_old(path)
        assert kept is not None
        names.append((kept.name, kept.read_text()))
    assert names == [("journal.bak", "1"), ("journal.bak2", "2"), ("journal.bak3", "3")]


def test_a_digest_tells_of_every_change_that_matters() -> None:
    task = FunctionCheckTask("def f(): pass", "f", disabled_names=("a",))
    stdio = StdioTask("x", (StdioCase(b"1", b"2"),))
    variants = [
        Sample("a", "a", 0, task, ""),
        Sample("a", "a", 0, FunctionCheckTask("def f(): pass", "f", disabled_names=("b",)), ""),
        Sample("a", "a", 0, task, "", Limits(memory_bytes=1)),
        Sample("a", "a", 0, task, "", seed=1),
        Sample("a", "a", 0, stdio, ""),
        Sample("a", "a", 0, StdioTask("x", (StdioCase(b"1", b"3"),)), ""),
        Sample("a", "a", 0, FunctionCheckTask("'\ud800'", "f"), ""),
    ]
    assert len({sample_digest(sample) for sample in variants}) == len(variants)
    assert sample_digest(variants[0]) == sample_digest(Sample("a", "a", 0, task, ""))
