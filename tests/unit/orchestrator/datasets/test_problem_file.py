from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.datasets.problem_file import ProblemFile
from orchestrator.errors import InputError
from orchestrator.model import (
    Completion,
    FunctionCheckTask,
    Limits,
    Package,
    ScriptTask,
    StdioCase,
    StdioTask,
    UnittestTask,
)

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = {"task_id": "s", "kind": "script", "prompt": "End well.", "reference": "pass"}
UNITTEST = {"task_id": "u", "kind": "unittest", "prompt": "def f():\n", "test": "class TestCases: ..."}
FUNCTION = {
    "task_id": "f",
    "kind": "function_check",
    "prompt": "def f():\n",
    "entry_point": "f",
    "assertions": ["assert f()"],
}  # fmt: skip - one row
STDIO = {"task_id": "i", "kind": "stdio", "prompt": "Print 1.", "cases": [{"stdin": "0", "expected": "1\n"}]}


def dataset(tmp_path: Path, *rows: object, limits: Limits | None = None) -> ProblemFile:
    path = tmp_path / "problems.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ProblemFile(str(path), name="mine", limits=limits)


def completion(task_id: str, text: str, *, is_solution: bool = False, limits: Limits | None = None) -> Completion:
    return Completion(task_id, 0, text, is_solution=is_solution, limits=limits or Limits())


def test_every_kind_becomes_its_task(tmp_path: Path) -> None:
    loaded = dataset(
        tmp_path,
        SCRIPT | {"arguments": ["-v", "ü"], "stdin": "1\n"},
        UNITTEST | {"test_class": "Mine", "entry_point": "f"},
        FUNCTION | {"check": "def check(f): ..."},
        STDIO | {"comparison": "floats", "absolute_tolerance": 0.5, "stop_at_first_failure": True},
    )
    tasks = [loaded.sample(completion(task_id, "    return 1")).task for task_id in loaded.problems]
    assert tasks == [
        ScriptTask("    return 1", ("-v", "ü"), b"1\n"),
        UnittestTask("def f():\n    return 1", "class TestCases: ...", "Mine", "f"),
        FunctionCheckTask("def f():\n    return 1", "f", "def check(f): ...", ("assert f()",)),
        StdioTask("    return 1", (StdioCase(b"0", b"1\n"),), "floats", 0.5, 1e-9, stop_at_first_failure=True),
    ]


def test_a_solution_stands_alone_and_a_code_prompt_replaces_the_prompt(tmp_path: Path) -> None:
    loaded = dataset(tmp_path, UNITTEST, SCRIPT | {"code_prompt": "import os\n"})
    assert loaded.sample(completion("u", "x", is_solution=True)).solution == "x"
    assert loaded.sample(completion("s", "x")).solution == "import os\nx"


def test_limits_come_from_the_sample_then_the_problem_then_the_dataset(tmp_path: Path) -> None:
    loaded = dataset(
        tmp_path,
        SCRIPT | {"limits": {"wall_time_s": 2, "processes": 2}},
        limits=Limits(cpu_time_s=1, wall_time_s=1, processes=1),
    )
    got = loaded.sample(completion("s", "", limits=Limits(processes=3))).limits
    assert (got.cpu_time_s, got.wall_time_s, got.processes) == (1, 2.0, 3)


def test_what_else_a_row_can_ask_for(tmp_path: Path) -> None:
    row = SCRIPT | {
        "policy": "strict",
        "environment": "old",
        "environment_variables": {"A": "1"},
        "packages": {"sklearn": "Scikit-Learn >=1.3, <2", "numpy": "", "google.protobuf": "protobuf"},
        "libraries": ["os"],
    }
    loaded = dataset(tmp_path, row, STDIO)
    sample = loaded.sample(completion("s", ""))
    assert sample.strict_policy
    assert (sample.environment, sample.environment_variables) == ("old", (("A", "1"),))
    assert sample.packages == (
        Package("sklearn", "Scikit-Learn", "<2,>=1.3"),
        Package("numpy"),
        Package("google.protobuf", "protobuf"),
    )
    assert loaded.problems["s"].libraries == ("os",)
    assert not loaded.sample(completion("i", "")).strict_policy


def test_references_are_completions_and_may_be_missing(tmp_path: Path) -> None:
    loaded = dataset(tmp_path, UNITTEST | {"reference": "    ..."}, STDIO)
    assert loaded.sample(loaded.reference("u")).solution == "def f():\n    ..."
    with pytest.raises(InputError, match="field 'reference': problem 'i' has none"):
        loaded.reference("i")


@pytest.mark.parametrize(
    ("row", "field", "words"),
    [
        (SCRIPT | {"kind": None}, "kind", "is missing"),
        (
            SCRIPT | {"kind": "exec"},
            "kind",
            "must be one of script, unittest, function_check, stdio, not 'exec'",
        ),
        (SCRIPT | {"prompt": ""}, "prompt", "is empty"),
        (SCRIPT | {"tests": ""}, "tests", "means nothing here"),
        (UNITTEST | {"test_clas": ""}, "test_clas", "did you mean 'test_class'?"),
        (SCRIPT | {"arguments": "-v"}, "arguments", "must be a list, not text"),
        (SCRIPT | {"arguments": ["a", 1]}, "arguments[1]", "must be text, not a number"),
        (SCRIPT | {"libraries": ["a", None]}, "libraries[1]", "is missing"),
        (SCRIPT | {"policy": "lax"}, "policy", "must be one of permissive, strict"),
        (SCRIPT | {"limits": {"memory": 1}}, "limits.memory", "means nothing here"),
        (SCRIPT | {"environment_variables": {"A": 1}}, "environment_variables.A", "must be text"),
        (SCRIPT | {"environment_variables": []}, "environment_variables", "must be an object"),
        (SCRIPT | {"packages": ["numpy"]}, "packages", "must be an object, not a list"),
        (SCRIPT | {"packages": {"numpy": 1}}, "packages.numpy", "must be text, not a number"),
        (SCRIPT | {"packages": {"scikit-learn": ""}}, "packages.scikit-learn", "is not what a program imports"),
        (SCRIPT | {"packages": {"np": "numpy 1.2"}}, "packages.np", "such as 'numpy>=1.26,<2', not 'numpy 1.2'"),
        (SCRIPT | {"packages": {"x": "x[all]"}}, "packages.x", "must be a package with the versions"),
        (SCRIPT | {"packages": {"x": "x @ https://host/x.whl"}}, "packages.x", "must be a package with the versions"),
        (SCRIPT | {"packages": {"x": "x; python_version < '3'"}}, "packages.x", "must be a package with the versions"),
        (UNITTEST | {"test": None}, "test", "is missing"),
        (FUNCTION | {"entry_point": None}, "entry_point", "is missing"),
        (FUNCTION | {"assertions": []}, "check", "and 'assertions' are missing"),
        (STDIO | {"cases": []}, "cases", "at least one case"),
        (STDIO | {"cases": None}, "cases", "at least one case"),
        (STDIO | {"cases": [1]}, "cases[0]", "must be an object, not a number"),
        (STDIO | {"cases": [{"stdin": "", "expect": ""}]}, "cases[0].expect", "did you mean 'expected'?"),
        (STDIO | {"cases": [{"stdin": ""}]}, "cases[0].expected", "is missing"),
        (STDIO | {"comparison": "fuzzy"}, "comparison", "must be one of tokens, exact, floats"),
        (STDIO | {"absolute_tolerance": 0}, "absolute_tolerance", "must be a number above 0"),
        (
            STDIO | {"stop_at_first_failure": 1},
            "stop_at_first_failure",
            "must be true or false, not a number",
        ),
    ],
)
def test_names_what_is_wrong(tmp_path: Path, row: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        dataset(tmp_path, row)
    assert (caught.value.line, caught.value.field) == (1, field)
    assert words in str(caught.value)
