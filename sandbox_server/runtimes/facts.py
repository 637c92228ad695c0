"""What an agent says, checked field by field and turned into `model` records. Pure.

An agent runs beside programs that nobody trusts. What it says is believed only as far as its form: types,
ranges, known words, sizes. A field that breaks its form is a `FrameError`, for which the worker is killed. A
text that is merely long is the sample's doing and not the agent's: it is cut, and says so.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from sandbox_server.model import (
    CapturedOutput,
    Environment,
    Facts,
    File,
    Limit,
    MemorySource,
    RaisedError,
    SandboxFault,
    Stage,
    SyntaxFault,
    TestResult,
    TestStatus,
    Timeline,
    Usage,
    Wall,
)
from sandbox_server.runtimes.frames import FrameError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sandbox_server.model import Limits

_Value = TypeVar("_Value")

_MAXIMUM_ITEMS = 100_000
_MAXIMUM_PACKAGES = 5_000  # all of them fit into one answer to GetCapabilities
_MAXIMUM_NAME_CHARACTERS = 4_096
_MAXIMUM_TEXT_CHARACTERS = 64 << 10
# All texts of one outcome's results together: what gRPC clients accept by default is 4 MiB a message.
_MAXIMUM_DETAILS_CHARACTERS = 512 << 10
_MAXIMUM_SECONDS = 10.0 * 24 * 3600
_MAXIMUM_MICROSECONDS = int(_MAXIMUM_SECONDS * 1e6)
_INT64_MAXIMUM = (1 << 63) - 1
_INT32_MAXIMUM = (1 << 31) - 1
# The agent leaves out what does not fit these, so whatever breaks them comes from something else.
_PACKAGE = re.compile(r"(?!.{201})[a-z0-9]+(?:-[a-z0-9]+)*")
_VERSION = re.compile(r"[A-Za-z0-9.!+_-]{1,200}")
_MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")

_STATUSES = {
    "passed": TestStatus.PASSED,
    "failed": TestStatus.FAILED,
    "error": TestStatus.ERROR,
    "skipped": TestStatus.SKIPPED,
    "expected_failure": TestStatus.EXPECTED_FAILURE,
    "unexpected_success": TestStatus.UNEXPECTED_SUCCESS,
    "wrong_output": TestStatus.WRONG_OUTPUT,
}
_STAGES = {stage.value: stage for stage in Stage}
_LIMITS = {limit.value: limit for limit in Limit}
_MEMORY_SOURCES = {
    "none": MemorySource.UNSPECIFIED,
    "cgroup": MemorySource.CGROUP,
    "sampled": MemorySource.SAMPLED,
}
# A cell that never came to be has nothing to tell but why.
_NO_OUTPUT = {"head_b64": "", "tail_b64": "", "total_bytes": 0}
_NOTHING_HAPPENED: dict[str, Any] = {
    "stage": "not_started",
    "results": [],
    "tampering": [],
    "integrity": [],
    "refused_resources": [],
    "stdout": _NO_OUTPUT,
    "stderr": _NO_OUTPUT,
    "usage": {
        "cpu_user_s": 0,
        "cpu_system_s": 0,
        "wall_s": 0,
        "peak_memory_bytes": 0,
        "memory_source": "none",
        "peak_processes": 0,
    },
    "files": [],
    "cancelled": False,
    "timeline": {"forked_us": -1, "started_us": -1, "ended_us": -1},
}
_RESOURCES = frozenset({"disk", "processes", "memory"})
_ERROR_KINDS = frozenset({"error", "syntax", "entry_point"})


@dataclass(frozen=True, slots=True)
class Ready:
    """What a worker says of itself when it is ready."""

    python_version: str
    digest: str
    profiles: tuple[str, ...]
    walls: tuple[Wall, ...]
    memory_source: MemorySource
    packages: Mapping[str, str] = field(default_factory=dict)
    modules: frozenset[str] = frozenset()

    def environment(self, name: str) -> Environment:
        """Returns the worker's environment under the name that samples use."""
        return Environment(name, self.digest, self.python_version, self.profiles, self.packages, self.modules)


def parse_ready(message: dict[str, Any]) -> Ready:
    """Returns what a `ready` frame says.

    Raises:
        FrameError: A field breaks its form.
    """
    walls = tuple(
        Wall(_name(item, "name"), _boolean(item, "standing"), _text(item, "detail"))
        for item in _objects(message, "walls")
    )
    return Ready(
        python_version=_name(message, "python"),
        digest=_name(message, "digest"),
        profiles=_names(message, "profiles"),
        walls=walls,
        memory_source=_word(message, "memory_source", _MEMORY_SOURCES),
        packages=_packages(message),
        modules=_modules(message),
    )


def parse_parsed(message: dict[str, Any]) -> SyntaxFault | None:
    """Returns the fault of a `parsed` frame, None when the source parses.

    Raises:
        FrameError: A field breaks its form.
    """
    fault = message.get("fault")
    if fault is None:
        return None
    if not isinstance(fault, dict):
        raise FrameError("fault is not an object")
    line, column = (_integer(fault, key, 0, _INT32_MAXIMUM) for key in ("line", "column"))
    return SyntaxFault(_text(fault, "message"), line, column)


def parse_facts(message: dict[str, Any], limits: Limits, sent_ns: int) -> Facts:
    """Returns what a `facts` frame says of a sample.

    What a frame leaves out did not happen.

    Args:
        message: The frame.
        limits: The sample's limits, which bound what may have been captured.
        sent_ns: When the sample was sent, in nanoseconds since the epoch: the zero of the frame's timeline.

    Raises:
        FrameError: A field breaks its form.
    """
    message = {**_NOTHING_HAPPENED, **message}
    reported = message.get("reported_tests")
    return Facts(
        stage=_word(message, "stage", _STAGES),
        exit_code=_optional(message, "exit_code", _exit_code),
        exit_signal=_optional(message, "exit_signal", _signal),
        limit=None if message.get("limit") is None else _word(message, "limit", _LIMITS),
        error=_optional(message, "error", _raised),
        results=_results(message),
        reported_tests=None if reported is None else _names(message, "reported_tests"),
        tampering=tuple(_cut(text, _MAXIMUM_NAME_CHARACTERS) for text in _strings(message, "tampering")),
        integrity=tuple(_cut(text, _MAXIMUM_NAME_CHARACTERS) for text in _strings(message, "integrity")),
        refused_resources=tuple(
            resource for resource in _strings(message, "refused_resources") if _known_resource(resource)
        ),
        stdout=_captured(message, "stdout", limits.captured_bytes),
        stderr=_captured(message, "stderr", limits.captured_bytes),
        usage=_usage(_object(message, "usage")),
        files=_files(message),
        cancelled=_boolean(message, "cancelled"),
        sandbox_fault=_optional(message, "sandbox_fault", _fault),
        timeline=_timeline(_object(message, "timeline"), sent_ns),
    )


def _packages(message: dict[str, Any]) -> Mapping[str, str]:
    # Absent from the agents of older images: such an environment has nothing that anybody could rely on.
    packages = _object(message, "packages") if "packages" in message else {}
    if len(packages) > _MAXIMUM_PACKAGES:
        raise FrameError(f"packages holds more than {_MAXIMUM_PACKAGES} items")
    for name, version in packages.items():
        if not _PACKAGE.fullmatch(name) or not isinstance(version, str) or not _VERSION.fullmatch(version):
            raise FrameError(f"packages: {name[:40]!r} is no normalized name, or its version is none")
    return packages


def _modules(message: dict[str, Any]) -> frozenset[str]:
    modules = frozenset(_strings(message, "modules") if "modules" in message else ())
    for module in modules:
        if not _MODULE.fullmatch(module):
            raise FrameError(f"modules: {module[:40]!r} is not a module's name")
    return modules


def _results(message: dict[str, Any]) -> tuple[TestResult, ...]:
    left = _MAXIMUM_DETAILS_CHARACTERS
    results = []
    for item in _objects(message, "results"):
        detail = _cut(_string(item, "detail"), min(left, _MAXIMUM_TEXT_CHARACTERS))
        left = max(0, left - len(detail))
        results.append(
            TestResult(
                test_id=_name(item, "test_id"),
                status=_word(item, "status", _STATUSES),
                detail=detail,
                duration=_seconds(item, "seconds"),
                **_message_of(item),
            )
        )
    return tuple(results)


def _message_of(item: dict[str, Any]) -> dict[str, Any]:
    return {"message": _cut(_string(item, "message"), _MAXIMUM_NAME_CHARACTERS)} if "message" in item else {}


def _raised(message: dict[str, Any], key: str) -> RaisedError:
    item = _object(message, key)
    kind = _string(item, "kind")
    if kind not in _ERROR_KINDS:
        raise FrameError(f"error.kind is {kind[:40]!r}")
    missing = item.get("missing_module")
    return RaisedError(
        type_name=_name(item, "type_name"),
        message=_text(item, "message"),
        traceback=_text(item, "traceback"),
        missing_module="" if missing is None else _name(item, "missing_module"),
        kind=kind,
    )


def _fault(message: dict[str, Any], key: str) -> SandboxFault:
    item = _object(message, key)
    return SandboxFault(_name(item, "reason"), _text(item, "message"))


def _captured(message: dict[str, Any], key: str, captured_bytes: int) -> CapturedOutput:
    item = _object(message, key)
    head, tail = _bytes(item, "head_b64"), _bytes(item, "tail_b64")
    total = _integer(item, "total_bytes", 0, _INT64_MAXIMUM)
    if len(head) + len(tail) > captured_bytes:
        raise FrameError(f"{key} holds {len(head) + len(tail)} bytes; the limit is {captured_bytes}")
    if total < len(head) + len(tail):
        raise FrameError(f"{key}.total_bytes is {total} and more was captured")
    return CapturedOutput(head, tail, total)


def _usage(item: dict[str, Any]) -> Usage:
    return Usage(
        cpu_user=_seconds(item, "cpu_user_s"),
        cpu_system=_seconds(item, "cpu_system_s"),
        wall=_seconds(item, "wall_s"),
        peak_memory_bytes=_integer(item, "peak_memory_bytes", 0, _INT64_MAXIMUM),
        memory_source=_word(item, "memory_source", _MEMORY_SOURCES),
        peak_processes=_integer(item, "peak_processes", 0, _INT32_MAXIMUM),
    )


def _files(message: dict[str, Any]) -> tuple[File, ...]:
    return tuple(File(_name(item, "path"), _bytes(item, "content_b64")) for item in _objects(message, "files"))


def _timeline(item: dict[str, Any], sent_ns: int) -> Timeline:
    forked, started, ended = (
        _integer(item, key, -1, _MAXIMUM_MICROSECONDS) for key in ("forked_us", "started_us", "ended_us")
    )
    return Timeline(
        forked_ns=sent_ns + forked * 1000 if forked >= 0 else 0,
        started_ns=sent_ns + started * 1000 if started >= 0 else 0,
        ended_ns=sent_ns + ended * 1000 if ended >= 0 else 0,
    )


def _exit_code(message: dict[str, Any], key: str) -> int:
    return _integer(message, key, 0, 255)


def _signal(message: dict[str, Any], key: str) -> int:
    return _integer(message, key, 1, 64)


def _known_resource(resource: str) -> bool:
    if resource not in _RESOURCES:
        raise FrameError(f"refused_resources holds {resource[:40]!r}")
    return True


def _optional(message: dict[str, Any], key: str, read: Callable[[dict[str, Any], str], _Value]) -> _Value | None:
    return None if message.get(key) is None else read(message, key)


def _object(message: dict[str, Any], key: str) -> dict[str, Any]:
    value = message.get(key)
    if not isinstance(value, dict):
        raise FrameError(f"{key} is not an object")
    return value


def _objects(message: dict[str, Any], key: str) -> Sequence[dict[str, Any]]:
    value = message.get(key)
    if not isinstance(value, list) or len(value) > _MAXIMUM_ITEMS:
        raise FrameError(f"{key} is not a list of at most {_MAXIMUM_ITEMS} items")
    if not all(isinstance(item, dict) for item in value):
        raise FrameError(f"{key} holds something that is not an object")
    return value


def _strings(message: dict[str, Any], key: str) -> Sequence[str]:
    value = message.get(key)
    if not isinstance(value, list) or len(value) > _MAXIMUM_ITEMS:
        raise FrameError(f"{key} is not a list of at most {_MAXIMUM_ITEMS} items")
    if not all(isinstance(item, str) for item in value):
        raise FrameError(f"{key} holds something that is not text")
    return [_clean(item) for item in value]


def _names(message: dict[str, Any], key: str) -> tuple[str, ...]:
    return tuple(_cut(name, _MAXIMUM_NAME_CHARACTERS) for name in _strings(message, key))


def _string(message: dict[str, Any], key: str) -> str:
    value = message.get(key)
    if not isinstance(value, str):
        raise FrameError(f"{key} is not text")
    return _clean(value)


def _name(message: dict[str, Any], key: str) -> str:
    return _cut(_string(message, key), _MAXIMUM_NAME_CHARACTERS)


def _text(message: dict[str, Any], key: str) -> str:
    return _cut(_string(message, key), _MAXIMUM_TEXT_CHARACTERS)


def _clean(text: str) -> str:
    # Lone surrogates cannot be written to the wire.
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _cut(text: str, maximum: int) -> str:
    if len(text) <= maximum:
        return text
    return f"{text[:maximum]}[... {len(text) - maximum} more characters]"


def _word(message: dict[str, Any], key: str, words: dict[str, _Value]) -> _Value:
    value = message.get(key)
    if not isinstance(value, str) or value not in words:
        raise FrameError(f"{key} is {str(value)[:40]!r}, which is none of {', '.join(map(repr, words))}")
    return words[value]


def _boolean(message: dict[str, Any], key: str) -> bool:
    value = message.get(key)
    if not isinstance(value, bool):
        raise FrameError(f"{key} is neither true nor false")
    return value


def _integer(message: dict[str, Any], key: str, minimum: int, maximum: int) -> int:
    value = message.get(key)
    if type(value) is not int or not minimum <= value <= maximum:
        raise FrameError(f"{key} is not a whole number from {minimum} to {maximum}")
    return value


def _seconds(message: dict[str, Any], key: str) -> timedelta:
    value = message.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FrameError(f"{key} is not a number")
    # Written so that NaN, which compares false with everything, is refused too.
    if not 0 <= value <= _MAXIMUM_SECONDS:
        raise FrameError(f"{key} is not a number of seconds from 0 to {_MAXIMUM_SECONDS:.0f}")
    return timedelta(seconds=value)


def _bytes(message: dict[str, Any], key: str) -> bytes:
    value = message.get(key)
    if not isinstance(value, str):
        raise FrameError(f"{key} is not text")
    try:
        return binascii.a2b_base64(value, strict_mode=True) if value else b""
    except ValueError:
        raise FrameError(f"{key} is not base64") from None
