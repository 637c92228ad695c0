"""What an agent is told of a sample: `model.Sample` to the `spec` of docs/agent-protocol.md. Pure."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, assert_never

from sandbox_server.model import FunctionCheckTask, ScriptTask, StdioTask, UnittestTask

if TYPE_CHECKING:
    from sandbox_server.model import Limits, Sample, Task


def spec_of(sample: Sample, profile: str) -> dict[str, Any]:
    """Returns the spec of a sample that is to run on a preload profile."""
    kind, program, tests = _task(sample.task)
    return {
        "kind": kind,
        "profile": profile,
        "limits": _limits(sample.limits),
        "seed": sample.seed,
        "env": dict(sample.environment_variables),
        "program": program,
        "tests": tests,
    }


def _limits(limits: Limits) -> dict[str, Any]:
    return {
        "cpu_s": limits.cpu_time.total_seconds(),
        "wall_s": limits.wall_time.total_seconds(),
        "memory_bytes": limits.memory_bytes,
        "processes": limits.processes,
        "output_bytes": limits.output_bytes,
        "captured_bytes": limits.captured_bytes,
        "disk_bytes": limits.disk_bytes,
        "file_size_bytes": limits.file_size_bytes,
        "open_files": limits.open_files,
    }


def _task(task: Task) -> tuple[str, dict[str, Any], dict[str, Any]]:
    if isinstance(task, FunctionCheckTask):
        program: dict[str, Any] = {
            "solution": task.solution,
            "entry_point": task.entry_point,
            "disabled_names": task.disabled_names,
        }
        return "function_check", program, {"check": task.check, "assertions": task.assertions}
    if isinstance(task, UnittestTask):
        program = {
            "solution": task.solution,
            "module_name": task.module_name,
            "entry_point": task.entry_point,
            "disabled_names": task.disabled_names,
        }
        return "unittest", program, {"source": task.test, "class_name": task.test_class}
    if isinstance(task, ScriptTask):
        program = {
            "source": task.source,
            "arguments": task.arguments,
            "stdin_b64": _b64(task.stdin),
            "files": [{"path": file.path, "content_b64": _b64(file.content)} for file in task.files],
            "collect": task.collect,
        }
        return "script", program, {}
    if isinstance(task, StdioTask):
        comparison = task.comparison
        tests = {
            "cases": [
                {"stdin_b64": _b64(case.stdin), "expected_b64": _b64(case.expected_stdout)} for case in task.cases
            ],
            "comparison": {
                "mode": comparison.mode.name.lower(),
                "absolute_tolerance": comparison.absolute_tolerance,
                "relative_tolerance": comparison.relative_tolerance,
            },
            "stop_at_first_failure": task.stop_at_first_failure,
        }
        return "stdio", {"source": task.source}, tests
    assert_never(task)


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
