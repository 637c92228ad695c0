"""What the agent itself has cells do: see which walls stand, and parse with the environment's own Python."""

from __future__ import annotations

import json
from typing import Any, Dict

from . import protocol
from .walls import probe as walls

_LIMITS = {
    "cpu_s": 20.0, "wall_s": 30.0, "memory_bytes": 512 << 20, "processes": 16, "output_bytes": 1 << 20,
    "captured_bytes": 1 << 18, "disk_bytes": 8 << 20, "file_size_bytes": 1 << 20, "open_files": 64,
}  # fmt: skip
_PARSE = """
import json, sys
fault = None
try:
    compile(sys.stdin.buffer.read().decode("utf-8", "surrogateescape"), "solution.py", "exec", dont_inherit=True)
except SyntaxError as error:
    fault = {"message": str(error.msg), "line": error.lineno or 0, "column": error.offset or 0}
except (ValueError, OverflowError, RecursionError, MemoryError) as error:
    fault = {"message": type(error).__name__ + ": " + str(error), "line": 0, "column": 0}
print(json.dumps(fault))
"""


def probe() -> Dict[str, Any]:
    """Returns the spec of a program that tries the walls."""
    return _script(walls.PROGRAM, b"")


def parse(source: str) -> Dict[str, Any]:
    """Returns the spec of a program that parses its standard input, executing nothing of it."""
    return _script(_PARSE, source.encode("utf-8", "surrogateescape"))


def printed(facts: Dict[str, Any]) -> Any:
    """Returns what such a program printed.

    Raises:
        ValueError: It did not end well.
    """
    if facts.get("exit_code") != 0 or facts.get("limit"):
        shown = {name: facts.get(name) for name in ("exit_code", "exit_signal", "limit", "error", "sandbox_fault")}
        raise ValueError("a program of the agent's own failed in its cell: %s" % json.dumps(shown)[:2000])
    return json.loads(protocol.unb64(facts["stdout"]["head_b64"]))


def _script(source: str, stdin: bytes) -> Dict[str, Any]:
    program = {
        "source": source,
        "arguments": [],
        "stdin_b64": protocol.b64(stdin),
        "files": [],
        "collect": [],
    }
    return {
        "kind": "script", "profile": "none", "limits": dict(_LIMITS), "seed": 0, "env": {}, "program": program,
        "tests": {},
    }  # fmt: skip
