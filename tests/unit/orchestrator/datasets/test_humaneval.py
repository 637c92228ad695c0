from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from orchestrator.datasets import load
from orchestrator.datasets.humaneval import DISABLED_NAMES, HumanEval
from orchestrator.errors import InputError
from orchestrator.model import Completion, FunctionCheckTask, Limits

if TYPE_CHECKING:
    from pathlib import Path

ROW = {
    "task_id": "HumanEval/0",
    "prompt": "def one():\n",
    "entry_point": "one",
    "canonical_solution": "    return 1\n",
    "test": "def check(candidate):\n    assert candidate() == 1\n",
}


def dataset(tmp_path: Path, *rows: object) -> HumanEval:
    path = tmp_path / "humaneval.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return HumanEval(str(path))


def test_assembles_prompt_and_completion(tmp_path: Path) -> None:
    loaded = dataset(tmp_path, ROW)
    sample = loaded.sample(Completion("HumanEval/0", 3, "    return 2\n", is_solution=False))
    assert isinstance(sample.task, FunctionCheckTask)
    assert sample.task.solution == sample.solution == "def one():\n    return 2\n"
    assert sample.task.check == ROW["test"]
    assert sample.task.entry_point == "one"
    assert sample.task.assertions == ()
    assert sample.sample_id == "HumanEval/0#3"
    assert sample.environment_variables == (("OMP_NUM_THREADS", "1"),)


def test_a_solution_stands_alone(tmp_path: Path) -> None:
    sample = dataset(tmp_path, ROW).sample(Completion("HumanEval/0", 0, "one = int\n", is_solution=True))
    assert sample.solution == "one = int\n"


def test_disables_what_the_original_disables(tmp_path: Path) -> None:
    task = dataset(tmp_path, ROW).sample(Completion("HumanEval/0", 0, "", is_solution=False)).task
    assert isinstance(task, FunctionCheckTask)
    assert task.disabled_names == DISABLED_NAMES
    assert len(set(DISABLED_NAMES)) == len(DISABLED_NAMES) == 3 + 26 + 3 + 1 + 5
    assert {
        "builtins.exit",
        "builtins.help",
        "os.getcwd",
        "os.lchmod",
        "subprocess.Popen",
        "resource",
    } <= set(DISABLED_NAMES)


def test_limits_are_the_originals_unless_the_row_has_its_own(tmp_path: Path) -> None:
    loaded = dataset(tmp_path, ROW)
    usual = loaded.sample(Completion("HumanEval/0", 0, "", is_solution=False)).limits
    assert (usual.cpu_time_s, usual.wall_time_s) == (3.0, 3.0)
    own = loaded.sample(
        Completion("HumanEval/0", 0, "", is_solution=False, limits=Limits(cpu_time_s=9.0, processes=2))
    ).limits
    assert (own.cpu_time_s, own.wall_time_s, own.processes) == (9.0, 3.0, 2)


def test_the_reference_continues_the_prompt(tmp_path: Path) -> None:
    loaded = dataset(tmp_path, ROW)
    reference = loaded.reference("HumanEval/0")
    assert reference.is_reference
    assert loaded.sample(reference).solution == "def one():\n    return 1\n"
    assert loaded.sample(reference).sample_id == "HumanEval/0#reference"


@pytest.mark.parametrize("column", sorted(ROW))
def test_every_column_is_needed(tmp_path: Path, column: str) -> None:
    row = {name: value for name, value in ROW.items() if name != column}
    with pytest.raises(InputError, match=f":2: field '{column}': is missing") as caught:
        dataset(tmp_path, ROW | {"task_id": "HumanEval/1"}, row)
    assert (caught.value.line, caught.value.field) == (2, column)
    with pytest.raises(InputError, match=f"field '{column}': must be text, not a number"):
        dataset(tmp_path, ROW | {column: 5})


def test_a_task_id_stands_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=":3: field 'task_id': 'HumanEval/0' stands in line 1 already"):
        dataset(tmp_path, ROW, ROW | {"task_id": "HumanEval/1"}, ROW)


def test_an_empty_file_has_no_problems(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no problems"):
        dataset(tmp_path)


def test_samples_given_as_data_are_refused_at_once(tmp_path: Path) -> None:
    rows = [{"task_id": f"HumanEval/{i}", "completion": ""} for i in range(164)]
    with pytest.raises(InputError) as caught:
        dataset(tmp_path, *rows)
    assert str(caught.value).splitlines()[-1] == "... and 144 more"


def test_load_needs_data_and_says_so() -> None:
    with pytest.raises(InputError, match="pass it with --data FILE"):
        load("humaneval")
