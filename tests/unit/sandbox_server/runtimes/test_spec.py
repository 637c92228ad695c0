import base64
from typing import Any

import orjson
import pytest

from sandbox_server.model import (
    Comparison,
    ComparisonMode,
    File,
    FunctionCheckTask,
    Limits,
    Sample,
    ScriptTask,
    StdioCase,
    StdioTask,
    Task,
    UnittestTask,
)
from sandbox_server.runtimes.spec import spec_of


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    ("task", "kind", "program", "tests"),
    [
        (
            ScriptTask("s", ("a",), b"\xff", (File("in", b"\x00"),), ("out",)),
            "script",
            {
                "source": "s",
                "arguments": ["a"],
                "stdin_b64": b64(b"\xff"),
                "files": [{"path": "in", "content_b64": b64(b"\x00")}],
                "collect": ["out"],
            },
            {},
        ),
        (
            UnittestTask("s", "t", "C", "e", "m", ("builtins.exit",)),
            "unittest",
            {"solution": "s", "module_name": "m", "entry_point": "e", "disabled_names": ["builtins.exit"]},
            {"source": "t", "class_name": "C"},
        ),
        (
            FunctionCheckTask("s", "e", "c", ("assert 1",), ("os.kill",)),
            "function_check",
            {"solution": "s", "entry_point": "e", "disabled_names": ["os.kill"]},
            {"check": "c", "assertions": ["assert 1"]},
        ),
        (
            StdioTask("s", (StdioCase(b"i", b"o"),), Comparison(ComparisonMode.FLOATS, 0.5, 0.25), True),
            "stdio",
            {"source": "s"},
            {
                "cases": [{"stdin_b64": b64(b"i"), "expected_b64": b64(b"o")}],
                "comparison": {"mode": "floats", "absolute_tolerance": 0.5, "relative_tolerance": 0.25},
                "stop_at_first_failure": True,
            },
        ),
    ],
)
def test_tells_the_agent_what_the_protocol_says(task: Task, kind: Any, program: Any, tests: Any) -> None:
    sample = Sample("id", task, Limits(), seed=-3, environment_variables=(("A", "b"),))
    spec = orjson.loads(orjson.dumps(spec_of(sample, "scientific")))
    limits = spec.pop("limits")
    assert spec == {
        "kind": kind,
        "profile": "scientific",
        "seed": -3,
        "env": {"A": "b"},
        "program": program,
        "tests": tests,
    }
    assert (limits["cpu_s"], limits["wall_s"], limits["open_files"]) == (30.0, 60.0, 256)
    assert len(limits) == 9
