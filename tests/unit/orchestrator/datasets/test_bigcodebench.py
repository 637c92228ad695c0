from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.datasets.bigcodebench import BigCodeBench, hard_ids
from orchestrator.errors import InputError, UsageError
from orchestrator.model import Completion, Limits, UnittestTask

if TYPE_CHECKING:
    from pathlib import Path

ROW = {
    "task_id": "BigCodeBench/13",
    "complete_prompt": 'import os\ndef task_func():\n    """Returns 1."""\n',
    "instruct_prompt": "Return 1.",
    "canonical_solution": "    return 1",
    "code_prompt": "import os\ndef task_func():\n",
    "test": "import unittest\nclass TestCases(unittest.TestCase):\n    pass\n",
    "entry_point": "task_func",
    "doc_struct": "{}",
    "libs": "['os', 'scikit-learn']",
}
CALIBRATION = "import os\ndef task_func():\n\n    pass\n"


def dataset(tmp_path: Path, *rows: object, **options: Any) -> BigCodeBench:
    path = tmp_path / "bigcodebench.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return BigCodeBench(str(path), **options)


def program(loaded: BigCodeBench, text: str, *, is_solution: bool) -> str:
    sample = loaded.sample(Completion("BigCodeBench/13", 0, text, is_solution=is_solution))
    assert isinstance(sample.task, UnittestTask)
    assert sample.task.solution == sample.solution
    return sample.solution


def test_calibration_puts_the_prompts_code_before_each_program(tmp_path: Path) -> None:
    loaded = dataset(tmp_path, ROW)
    assert program(loaded, "x = 1", is_solution=True) == CALIBRATION + "x = 1"
    assert program(loaded, "    return 2", is_solution=False) == CALIBRATION + ROW["complete_prompt"] + "    return 2"


def test_without_calibration_programs_stand_alone(tmp_path: Path) -> None:
    loaded = dataset(tmp_path, ROW, calibrated=False)
    assert program(loaded, "x = 1", is_solution=True) == "x = 1"
    assert program(loaded, "    return 2", is_solution=False) == ROW["complete_prompt"] + "    return 2"


@pytest.mark.parametrize("calibrated", [True, False])
def test_the_reference_is_never_calibrated(tmp_path: Path, calibrated: bool) -> None:  # noqa: FBT001 - a parameter
    loaded = dataset(tmp_path, ROW, calibrated=calibrated)
    sample = loaded.sample(loaded.reference("BigCodeBench/13"))
    assert sample.solution == ROW["complete_prompt"] + "\n    return 1"


def test_runs_as_the_original_harness_runs(tmp_path: Path) -> None:
    sample = dataset(tmp_path, ROW).sample(
        Completion("BigCodeBench/13", 0, "", is_solution=True, limits=Limits(memory_bytes=1 << 30))
    )
    assert isinstance(sample.task, UnittestTask)
    assert (sample.task.module_name, sample.task.test_class) == ("__test__", "TestCases")
    assert sample.task.entry_point == "task_func"
    assert sample.task.test == ROW["test"]
    assert sample.task.disabled_names == ("builtins.exit", "builtins.quit")
    assert dict(sample.environment_variables)["TZ"] == "UTC"
    assert (sample.limits.wall_time_s, sample.limits.memory_bytes) == (240.0, 1 << 30)


def test_the_split_chooses_the_prompt_alone(tmp_path: Path) -> None:
    complete, instruct = dataset(tmp_path, ROW), dataset(tmp_path, ROW, split="instruct")
    assert complete.problems["BigCodeBench/13"].prompt == ROW["complete_prompt"]
    assert instruct.problems["BigCodeBench/13"].prompt == "Return 1."
    assert program(complete, "a", is_solution=False) == program(instruct, "a", is_solution=False)


def test_the_hard_subset_is_148_frozen_ids(tmp_path: Path) -> None:
    assert len(hard_ids()) == 148
    assert all(task_id.startswith("BigCodeBench/") for task_id in hard_ids())
    easy = ROW | {"task_id": "BigCodeBench/0"}
    assert list(dataset(tmp_path, easy, ROW, subset="hard").problems) == ["BigCodeBench/13"]
    with pytest.raises(InputError, match="none of the problems that were asked for"):
        dataset(tmp_path, easy, subset="hard")


def test_libraries_are_read_from_the_text_of_a_list(tmp_path: Path) -> None:
    assert dataset(tmp_path, ROW).problems["BigCodeBench/13"].libraries == ("os", "scikit-learn")


@pytest.mark.parametrize(
    "libs",
    [
        "",
        "os",
        "[1]",
        "{'os'}",
        "['os'",
        "[os]",
        "__import__('os')",
        "[" * 9000,
        "['a'," * 5000,
        "\0",
        "1+1j",
    ],
)
def test_libraries_that_are_no_list_are_refused(tmp_path: Path, libs: str) -> None:
    with pytest.raises(InputError, match="must be the text of a Python list") as caught:
        dataset(tmp_path, ROW | {"libs": libs})
    assert caught.value.field == "libs"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(st.text(max_size=60) | st.text("[]'\"\\,ad(){}0", max_size=60))
def test_any_libraries_are_read_or_named(tmp_path: Path, libs: str) -> None:
    try:
        loaded = dataset(tmp_path, ROW | {"libs": libs})
    except InputError as error:
        assert error.field == "libs"  # noqa: PT017 - a list is right too
    else:
        assert all(isinstance(name, str) for name in loaded.problems["BigCodeBench/13"].libraries)


@pytest.mark.parametrize("column", sorted(set(ROW) - {"doc_struct", "libs", "instruct_prompt"}))
def test_columns_that_are_needed(tmp_path: Path, column: str) -> None:
    with pytest.raises(InputError, match=f":1: field '{column}': is missing"):
        dataset(tmp_path, {name: value for name, value in ROW.items() if name != column})


def test_words_that_mean_nothing_are_a_matter_of_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--split must be one of complete, instruct, not 'all'"):
        dataset(tmp_path, ROW, split="all")
    with pytest.raises(UsageError, match="--subset must be one of full, hard, not 'easy'"):
        dataset(tmp_path, ROW, subset="easy")
