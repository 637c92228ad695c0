from __future__ import annotations

import gzip
import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.datasets.problem_file import ProblemFile
from orchestrator.errors import InputError
from orchestrator.formats.rows import MAXIMUM_FAULTS, MAXIMUM_LINE_BYTES
from orchestrator.formats.samples import read_samples
from orchestrator.model import Limits

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.datasets.base import Dataset

GOOD = {"task_id": "Set/1", "solution": "pass"}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Problems Set/0 to Set/9."""
    path = tmp_path_factory.mktemp("data") / "problems.jsonl"
    rows = [{"task_id": f"Set/{i}", "kind": "script", "prompt": "Do nothing."} for i in range(10)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ProblemFile(str(path), name="set")


@pytest.fixture
def write(tmp_path: Path) -> Any:
    """Writes a sample file of bytes, or of rows."""

    def writing(*lines: object, name: str = "samples.jsonl") -> str:
        path = tmp_path / name
        data = b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
        path.write_bytes(data + b"\n")
        return str(path)

    return writing


def refusal(path: str, dataset: Dataset) -> InputError:
    with pytest.raises(InputError) as caught:
        read_samples(path, dataset)
    return caught.value


def test_reads_solutions_and_completions_in_the_order_of_the_file(write: Any, dataset: Dataset) -> None:
    path = write(
        {"task_id": "Set/1", "solution": "a"},
        {"task_id": "Set/0", "completion": "b", "solution": None},
        b"",
        b"  \t",
        {"task_id": "Set/1", "solution": "c", "completion": "d", "logprob": float("nan")},
        {"task_id": "Set/1", "completion": ""},
    )
    got = read_samples(path, dataset)
    assert [(one.task_id, one.index, one.text, one.is_solution) for one in got] == [
        ("Set/1", 0, "a", True),
        ("Set/0", 0, "b", False),
        ("Set/1", 1, "c", True),
        ("Set/1", 2, "", False),
    ]
    assert [one.source for one in got] == [f"{path}:{line}" for line in (1, 2, 5, 6)]
    assert got[3].sample_id == "Set/1#2"


def test_reads_gzip_whatever_the_name_and_skips_a_byte_order_mark(write: Any, dataset: Dataset) -> None:
    data = b"\xef\xbb\xbf" + json.dumps({"task_id": "Set/1", "solution": "größer 😀"}).encode()
    for name in ("a.jsonl", "a.jsonl.gz"):
        for content in (data, gzip.compress(data)):
            (one,) = read_samples(_raw(write(name=name), content), dataset)
            assert one.text == "größer 😀"


def _raw(path: str, content: bytes) -> str:
    with open(path, "wb") as file:  # noqa: PTH123 - the path is text, as on the command line
        file.write(content)
    return path


def test_a_file_without_a_last_line_end_is_whole(write: Any, dataset: Dataset) -> None:
    path = _raw(write(GOOD), json.dumps(GOOD).encode())
    assert len(read_samples(path, dataset)) == 1


def test_takes_numbers_of_its_own(write: Any, dataset: Dataset) -> None:
    path = write(GOOD | {"completion_id": 7}, GOOD | {"completion_id": 0}, {"task_id": "Set/2", "solution": ""})
    assert [one.sample_id for one in read_samples(path, dataset)] == ["Set/1#7", "Set/1#0", "Set/2#0"]


def test_takes_limits(write: Any, dataset: Dataset) -> None:
    wanted = {"cpu_time_s": 1.5, "memory_bytes": 1e9, "processes": 3, "wall_time_s": None}
    (one,) = read_samples(write(GOOD | {"limits": wanted}), dataset)
    assert one.limits == Limits(cpu_time_s=1.5, memory_bytes=1_000_000_000, processes=3)
    assert isinstance(one.limits.memory_bytes, int)
    assert dataset.sample(one).limits.processes == 3


@pytest.mark.parametrize(
    ("line", "field", "words"),
    [
        (b'{"task_id": "Set/1", "solution": "pa', None, "is the line cut off?"),
        (b'{"task_id": "Set/1"', None, "is the line cut off?"),
        (b"{'task_id': 'Set/1'}", None, "is not JSON: Expecting property name"),
        (b"task_id,solution", None, "each line must be one JSON object"),
        ([1, 2], None, "holds a list, where an object {...} is needed"),
        (None, None, "holds null"),
        (True, None, "holds true"),
        (b'{"task_id": "Set/1", "solution": "\xff"}', None, "is not UTF-8: byte 35 of the line is 0xff"),
        (b"[" * 200_000, None, "nested too deeply"),
        (b'{"n": ' + b"9" * 5000 + b"}", None, "cannot be read: Exceeds the limit"),
        ({"solution": "pass"}, "task_id", "is missing"),
        (GOOD | {"task_id": ""}, "task_id", "is empty"),
        (GOOD | {"task_id": 1}, "task_id", "must be text, not a number"),
        (GOOD | {"task_id": "set/1"}, "task_id", "set has no problem 'set/1'; did you mean 'Set/1'?"),
        (GOOD | {"task_id": "MBPP/11"}, "task_id", "is it the right dataset?"),
        (GOOD | {"task_id": "x" * 1_000_000}, "task_id", "x..."),
        ({"task_id": "Set/1"}, "solution", "and 'completion' are missing"),
        ({"task_id": "Set/1", "completion": None}, "solution", "and 'completion' are missing"),
        ({"task_id": "Set/1", "solution": ["pass"]}, "solution", "must be text, not a list"),
        ({"task_id": "Set/1", "completion": {}}, "completion", "must be text, not an object"),
        ({"task_id": "Set/1", "completion": False}, "completion", "must be text, not false"),
        ({"task_id": "Set/1", "completion": "é \ud83d"}, "completion", r"half of a surrogate pair (\ud83d)"),
        (GOOD | {"completion_id": "0"}, "completion_id", "must be a whole number"),
        (GOOD | {"completion_id": -1}, "completion_id", "must be a whole number"),
        (GOOD | {"completion_id": True}, "completion_id", "must be a whole number"),
        (GOOD | {"sample_id": 3}, "sample_id", "must be text"),
        (GOOD | {"limits": []}, "limits", "must be an object, not a list"),
        (GOOD | {"limits": {"cpu_s": 1}}, "limits.cpu_s", "means nothing here; did you mean 'cpu_time_s'?"),
        (GOOD | {"limits": {"\x1b[31m": 1}}, None, "known are cpu_time_s"),
        (GOOD | {"limits": {"cpu_time_s": 0}}, "limits.cpu_time_s", "must be a number above 0"),
        (GOOD | {"limits": {"cpu_time_s": float("nan")}}, "limits.cpu_time_s", "must be a number above 0"),
        (GOOD | {"limits": {"wall_time_s": float("inf")}}, "limits.wall_time_s", "must be a number above 0"),
        (GOOD | {"limits": {"wall_time_s": 1e300}}, "limits.wall_time_s", "must be at most 1e+09"),
        (GOOD | {"limits": {"memory_bytes": "1GB"}}, "limits.memory_bytes", "must be a number, not text"),
        (GOOD | {"limits": {"memory_bytes": 0.5}}, "limits.memory_bytes", "must be a whole number"),
        (GOOD | {"limits": {"memory_bytes": 2**63}}, "limits.memory_bytes", "must be at most"),
        (GOOD | {"limits": {"processes": -4}}, "limits.processes", "must be a number above 0"),
        (GOOD | {"limits": {"open_files": True}}, "limits.open_files", "must be a number, not true"),
    ],
)
def test_names_file_line_and_field(write: Any, dataset: Dataset, line: object, field: str | None, words: str) -> None:
    path = write(GOOD, b"", line if isinstance(line, bytes) else json.dumps(line).encode())
    error = refusal(path, dataset)
    assert str(error).startswith(f"{path}:3: ")
    assert (error.file, error.line) == (path, 3)
    if field is not None:
        assert error.field == field
        assert f"field {field!r}: " in str(error)
    assert words in str(error)
    assert len(str(error)) < 1000
    assert str(error).isprintable()


@pytest.mark.parametrize("field", ["completion_id", "sample_id"])
def test_a_doubled_name_names_both_lines(write: Any, dataset: Dataset, field: str) -> None:
    name = 4 if field == "completion_id" else "mine"
    other = 5 if field == "completion_id" else "yours"
    path = write(GOOD | {field: name}, GOOD | {field: other}, GOOD | {field: name})
    error = refusal(path, dataset)
    assert error.field == field
    assert f"{path}:3: field {field!r}: " in str(error)
    assert "stands in line 1 already" in str(error)


def test_equal_numbers_of_different_problems_are_no_doubles(write: Any, dataset: Dataset) -> None:
    path = write(GOOD | {"completion_id": 0}, {"task_id": "Set/2", "solution": "", "completion_id": 0})
    assert len(read_samples(path, dataset)) == 2


def test_numbers_for_some_rows_of_a_problem_alone_are_refused(write: Any, dataset: Dataset) -> None:
    error = refusal(write(GOOD, GOOD | {"completion_id": 0}), dataset)
    assert (error.line, error.field) == (2, "completion_id")


def test_tells_all_bad_lines_at_once(write: Any, dataset: Dataset) -> None:
    path = write(b"{", GOOD, {"solution": ""}, GOOD | {"limits": {"cpu": 1}})
    lines = str(refusal(path, dataset)).splitlines()
    assert [line.split(": ")[0] for line in lines] == [f"{path}:{line}" for line in (1, 3, 4)]


def test_tells_so_many_and_counts_the_others(write: Any, dataset: Dataset) -> None:
    path = write(*[{"task_id": f"Sat/{i}", "solution": ""} for i in range(1000)])
    lines = str(refusal(path, dataset)).splitlines()
    assert len(lines) == MAXIMUM_FAULTS + 1
    assert lines[-1] == f"... and {1000 - MAXIMUM_FAULTS} more"


def test_an_overlong_line_is_refused_and_the_next_is_read(write: Any, dataset: Dataset) -> None:
    path = write(b'{"task_id": "' + b"x" * MAXIMUM_LINE_BYTES + b'"}', {"task_id": "Set/1"})
    error = refusal(path, dataset)
    assert (error.line, error.field) == (1, None)
    assert "longer than 32 MiB" in str(error)
    assert f"{path}:2: field 'solution'" in str(error)


@pytest.mark.parametrize("lines", [(), (b"",), (b"\n\n  \n",)])
def test_an_empty_file_is_refused(write: Any, dataset: Dataset, lines: tuple[bytes, ...]) -> None:
    assert "holds no samples" in str(refusal(write(*lines), dataset))


def test_files_that_cannot_be_read(tmp_path: Path, dataset: Dataset) -> None:
    missing = refusal(str(tmp_path / "none.jsonl"), dataset)
    assert "there is no such file" in str(missing)
    assert missing.file == str(tmp_path / "none.jsonl")
    assert "cannot be read" in str(refusal("nul\0byte", dataset))
    assert "cannot be read" in str(refusal(str(tmp_path / ("x" * 300)), dataset))


@pytest.mark.parametrize("cut", [5, 40, -4])
def test_broken_gzip_says_so(write: Any, dataset: Dataset, cut: int) -> None:
    rows = b"".join(json.dumps(GOOD | {"sample_id": os.urandom(9).hex()}).encode() + b"\n" for _ in range(500))
    path = _raw(write(), gzip.compress(rows)[:cut])
    error = refusal(path, dataset)
    assert "the gzip data is broken after line" in str(error)
    assert error.line is not None


def test_damaged_gzip_says_so(write: Any, dataset: Dataset) -> None:
    data = bytearray(gzip.compress(b"".join(json.dumps(GOOD).encode() + b"\n" for _ in range(500))))
    data[len(data) // 2] ^= 0xFF
    assert "the gzip data is broken" in str(refusal(_raw(write(), bytes(data)), dataset))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(
    st.one_of(
        st.binary(max_size=300),
        st.binary(max_size=100).map(lambda data: b"\x1f\x8b\x08\x00" + data),
        st.binary(max_size=200).map(gzip.compress),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        [
                            "task_id",
                            "solution",
                            "completion",
                            "completion_id",
                            "sample_id",
                            "limits",
                            "cpu_time_s",
                        ]
                    ),
                    inner | st.just("Set/1"),
                    max_size=6,
                )
            ),
            max_leaves=8,
        ).map(lambda value: json.dumps(value).encode()),
    )
)
def test_whatever_stands_in_a_file_is_read_or_named(tmp_path: Path, dataset: Dataset, data: bytes) -> None:
    path = tmp_path / "any.jsonl"
    path.write_bytes(data)
    try:
        got = read_samples(str(path), dataset)
    except InputError as error:
        assert str(error).startswith(str(path))  # noqa: PT017 - a file that can be read is right too
    else:
        assert got
        assert all(one.task_id in dataset.problems for one in got)


# Folders


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two samples of Set/1 and one of Set/0, and what tools leave beside them."""
    for name, text in {"Set_1/10.py": "b\r\n", "Set_1/2.py": "a", "Set_0/0.py": ""}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(text.encode())
    (tmp_path / "eval_results.json").write_text("{}")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / "Set_1" / "notes.txt").write_text("-")
    return tmp_path


def test_reads_a_folder_by_problem_and_number(folder: Path, dataset: Dataset) -> None:
    got = read_samples(str(folder), dataset)
    assert [(one.task_id, one.index, one.text) for one in got] == [
        ("Set/0", 0, ""),
        ("Set/1", 2, "a"),
        ("Set/1", 10, "b\n"),
    ]
    assert all(one.is_solution for one in got)
    assert got[1].source == str(folder / "Set_1" / "2.py")


def test_tells_all_that_is_wrong_with_a_folder(folder: Path, dataset: Dataset) -> None:
    (folder / "Sets_1").mkdir()
    (folder / "Set_1" / "02.py").write_text("")
    (folder / "Set_1" / "last.py").write_text("")
    (folder / "Set_1" / "3.py").write_bytes(b"x\n\xff")
    (folder / "Set_1" / "4.py").mkdir()
    told = sorted(str(refusal(str(folder), dataset)).splitlines())
    assert [line.removeprefix(f"{folder}/") for line in told] == [
        "Set_1/2.py: has the same number as 02.py; remove one of the two",
        "Set_1/3.py:2: is not UTF-8; save the file in that encoding",
        "Set_1/4.py: is not a regular file; remove it",
        "Set_1/last.py: is not named by a number, such as 0.py; rename it",
        "Sets_1: no problem of set is called so, with '_' for '/'; did you mean 'Set_1'?",
    ]


def test_a_folder_without_samples_is_refused(tmp_path: Path, dataset: Dataset) -> None:
    assert "holds no samples" in str(refusal(str(tmp_path), dataset))


def test_a_pipe_in_a_folder_does_not_hang(folder: Path, dataset: Dataset) -> None:
    os.mkfifo(folder / "Set_1" / "5.py")
    assert "5.py: is not a regular file" in str(refusal(str(folder), dataset))
