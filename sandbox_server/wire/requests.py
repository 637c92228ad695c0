"""A sample's message to `model.Sample`, with everything checked that a server relies on later.

A message that breaks a rule raises an `errors.RequestError` that names the field, its value and the bound.
Unknown enum values mean what the contract says that the zero value means.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from cupel_client.gen import sandbox_service_pb2 as pb

from sandbox_server.errors import (
    FieldMissingError,
    IsolationUnavailableError,
    LimitAboveMaximumError,
    SourceTooLargeError,
)
from sandbox_server.model import (
    Comparison,
    ComparisonMode,
    File,
    FunctionCheckTask,
    Isolation,
    Limits,
    Policy,
    Sample,
    ScriptTask,
    StdioCase,
    StdioTask,
    Task,
    UnittestTask,
)
from sandbox_server.placement import by_request, placed
from sandbox_server.wire.faults import bad
from sandbox_server.wire.packages import read_packages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sandbox_server.model import Environment

_MAXIMUM_ID_CHARACTERS = 512
_MAXIMUM_PATH_PARTS, _MAXIMUM_NAME_BYTES = 32, 255  # the first as the agent places them, the second as Linux does
_PAGE_BYTES = 4096  # files of a cell are kept in whole pages
_MAXIMUM_PATH_CHARACTERS = 1024
_MAXIMUM_ITEMS = 10_000
_MAXIMUM_ENVIRONMENT_BYTES = 64 << 10
_USUAL_TOLERANCE = 1e-9

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TRACE_CONTEXT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.{0,200})?")
_MODES = {
    pb.COMPARISON_MODE_EXACT: ComparisonMode.EXACT,
    pb.COMPARISON_MODE_FLOATS: ComparisonMode.FLOATS,
}
# What a program needs to start at all; less would be a server's fault in disguise.
_MINIMUM = Limits(
    cpu_time=timedelta(milliseconds=10),
    wall_time=timedelta(milliseconds=10),
    memory_bytes=16 << 20,
    processes=1,
    output_bytes=1,
    captured_bytes=1,
    disk_bytes=1 << 16,
    file_size_bytes=1,
    open_files=16,
)
_TIMES = ("cpu_time", "wall_time")
_COUNTS = (
    "memory_bytes",
    "processes",
    "output_bytes",
    "captured_bytes",
    "disk_bytes",
    "file_size_bytes",
    "open_files",
)


@dataclass(frozen=True, slots=True)
class Rules:
    """What a server takes."""

    environments: Callable[[], Sequence[Environment]]
    """Returns those that there are now: they change when workers are replaced."""
    default_environment: str = ""
    """The first among equals, where a sample leaves the choice to the server."""
    default_limits: Limits = field(default_factory=Limits)
    maximum_limits: Limits = field(default_factory=Limits)
    maximum_source_bytes: int = 1 << 20
    maximum_sample_bytes: int = 4 << 20
    isolations: frozenset[Isolation] = frozenset({Isolation.CELL})


def read_sample(message: pb.Sample, rules: Rules) -> Sample:
    """Returns the sample of a message, with its environment unless its imports have to decide on that.

    Raises:
        RequestError: A field breaks a rule; the error names it.
    """
    sample_id = message.sample_id
    if not sample_id:
        raise FieldMissingError("sample_id is empty; name each sample of a stream", field="sample_id")
    if len(sample_id) > _MAXIMUM_ID_CHARACTERS:
        raise bad("sample_id", sample_id, f"of more than {_MAXIMUM_ID_CHARACTERS} characters")
    if message.attempt < 0:
        raise bad("attempt", message.attempt, "below 0; attempts count from 1")
    _check_size(message, rules)
    task = _task(message, rules.maximum_source_bytes)
    named = _limits(message.limits, rules) if message.HasField("limits") else {}
    limits = rules.default_limits.with_requested(named) if named else rules.default_limits
    if isinstance(task, ScriptTask) and task.files:
        _check_files(task.files, limits)
    packages = read_packages(message.packages) if message.packages else ()
    environment = by_request(message.environment, packages, rules.environments(), rules.default_environment)
    sample = Sample(
        sample_id=sample_id,
        task=task,
        limits=limits,
        attempt=message.attempt or 1,
        seed=message.seed,
        isolation=_isolation(message.isolation, rules),
        policy=Policy.STRICT if message.policy == pb.POLICY_STRICT else Policy.PERMISSIVE,
        priority=message.priority,
        trace_context=_trace_context(message.trace_context) if message.trace_context else "",
        environment_variables=_variables(message) if message.environment_variables else (),
        packages=packages,
        named_limits=frozenset(named),
    )
    return placed(sample, environment) if environment else sample


def _check_size(message: pb.Sample, rules: Rules) -> None:
    size = message.ByteSize()
    if size > rules.maximum_sample_bytes:
        maximum = str(rules.maximum_sample_bytes)
        raise SourceTooLargeError(
            f"the sample has {size} bytes; this server takes {maximum}",
            field="sample",
            value=str(size),
            maximum=maximum,
        )


def _isolation(value: int, rules: Rules) -> Isolation:
    isolation = Isolation.CONTAINER if value == pb.ISOLATION_CONTAINER else Isolation.CELL
    if isolation not in rules.isolations:
        available = ", ".join(sorted(item.name for item in rules.isolations))
        raise IsolationUnavailableError(
            f"this server cannot give the isolation {isolation.name}, and nothing weaker in its place; "
            f"it has {available}",
            field="isolation",
            value=isolation.name,
            available=available,
        )
    return isolation


def _trace_context(text: str) -> str:
    if not _TRACE_CONTEXT.fullmatch(text):
        raise bad("trace_context", text, "not a W3C traceparent")
    return text


def _variables(message: pb.Sample) -> tuple[tuple[str, str], ...]:
    variables = tuple(sorted(message.environment_variables.items()))
    for name, value in variables:
        if not _VARIABLE.fullmatch(name):
            raise bad("environment_variables", name, "not a variable's name")
        if "\0" in value:
            raise bad(f"environment_variables.{name}", value, "which holds a NUL")
    size = sum(len(name.encode()) + len(value.encode()) for name, value in variables)
    if size > _MAXIMUM_ENVIRONMENT_BYTES:
        raise bad(
            "environment_variables",
            f"{size} bytes",
            f"above {_MAXIMUM_ENVIRONMENT_BYTES}",
            maximum=str(_MAXIMUM_ENVIRONMENT_BYTES),
        )
    return variables


def _limits(message: pb.Limits, rules: Rules) -> dict[str, Any]:
    """Returns the limits that a message names, by the fields of `Limits`."""
    requested: dict[str, Any] = {}
    for name in _TIMES:
        if message.HasField(name):  # type: ignore[arg-type]  # the names are those of the message
            time = _time(f"limits.{name}", getattr(message, name))
            if time:
                requested[name] = time
    for name in _COUNTS:
        value = getattr(message, name)
        if value:
            requested[name] = value
    for name, value in requested.items():
        lowest, highest = getattr(_MINIMUM, name), getattr(rules.maximum_limits, name)
        if value > highest:
            raise LimitAboveMaximumError(
                f"limits.{name} is {_shown(value)}; this server's maximum is {_shown(highest)}",
                field=f"limits.{name}",
                value=_shown(value),
                maximum=_shown(highest),
            )
        if value < lowest:
            least = _shown(lowest)
            raise bad(f"limits.{name}", _shown(value), f"below {least}: no program starts", minimum=least)
    return requested


def _time(name: str, duration: Any) -> timedelta:
    seconds, nanos = duration.seconds, duration.nanos
    if seconds < 0 or not 0 <= nanos < 1_000_000_000:
        raise bad(name, f"{seconds} s and {nanos} ns", "not a duration from 0 up")
    if seconds > timedelta.max.total_seconds() // 2:
        seconds = int(timedelta.max.total_seconds() // 2)
    return timedelta(seconds=seconds, microseconds=nanos // 1000)


def _shown(value: timedelta | int) -> str:
    return f"{value.total_seconds():g}s" if isinstance(value, timedelta) else str(value)


def _task(message: pb.Sample, maximum_source_bytes: int) -> Task:
    kind = message.WhichOneof("task")
    if kind is None:
        raise FieldMissingError(
            "the sample has no task: set one of script, unittest, function_check, stdio", field="task"
        )
    task = getattr(message, kind)
    if task.ByteSize() > maximum_source_bytes:
        _check_texts(kind, task, maximum_source_bytes)
    return _READERS[kind](task)


def _check_texts(kind: str, task: Any, maximum: int) -> None:
    for name in ("source", "solution", "test", "check"):
        _check_text(f"{kind}.{name}", len(getattr(task, name, "").encode()), maximum)
    _check_text(f"{kind}.assertions", sum(len(text.encode()) for text in getattr(task, "assertions", ())), maximum)


def _check_text(name: str, size: int, maximum: int) -> None:
    if size > maximum:
        raise SourceTooLargeError(
            f"{name} has {size} bytes; this server takes {maximum}",
            field=name,
            value=str(size),
            maximum=str(maximum),
        )


def _script(task: pb.ScriptTask) -> ScriptTask:
    for argument in task.arguments:
        if "\0" in argument:
            raise bad("script.arguments", argument, "which holds a NUL")
    return ScriptTask(
        source=task.source,
        arguments=tuple(task.arguments),
        stdin=task.stdin,
        files=tuple(
            File(path, file.content)
            for path, file in zip(_paths("script.files", (file.path for file in task.files)), task.files, strict=True)
        ),
        collect=_paths("script.collect", task.collect),
    )


def _check_files(files: Sequence[File], limits: Limits) -> None:
    """Checks that files can be placed beside each other in a file system of the sample's size."""
    paths = {file.path for file in files}
    for path in paths:
        parts = path.split("/")
        for count in range(1, len(parts)):
            if "/".join(parts[:count]) in paths:
                raise bad("script.files", path, f"below {'/'.join(parts[:count])!r}, which is a file")
    pages = sum(-(-len(file.content) // _PAGE_BYTES) for file in files)
    if pages * _PAGE_BYTES > limits.disk_bytes:
        size = f"{pages * _PAGE_BYTES} bytes"
        raise bad("script.files", size, "more than the sample's disk_bytes", maximum=str(limits.disk_bytes))


def _paths(name: str, paths: Iterable[str]) -> tuple[str, ...]:
    checked = tuple(paths)
    _check_count(name, len(checked))
    for path in checked:
        if not path or len(path) > _MAXIMUM_PATH_CHARACTERS or "\0" in path:
            raise bad(name, path, f"not a path of 1 to {_MAXIMUM_PATH_CHARACTERS} characters without NUL")
        if path.startswith("/") or any(part in {"", ".", ".."} for part in path.split("/")):
            raise bad(name, path, 'not a path inside the working directory: no leading "/", no ".", no ".."')
        parts = path.split("/")
        if len(parts) > _MAXIMUM_PATH_PARTS or any(len(part.encode()) > _MAXIMUM_NAME_BYTES for part in parts):
            raise bad(name, path, f"above {_MAXIMUM_PATH_PARTS} parts of {_MAXIMUM_NAME_BYTES} bytes each")
    if len(set(checked)) != len(checked):
        raise bad(name, next(path for path in checked if checked.count(path) > 1), "named twice")
    return checked


def _unittest(task: pb.UnittestTask) -> UnittestTask:
    if not task.test:
        raise FieldMissingError("unittest.test is empty: nothing would judge the solution", field="unittest.test")
    return UnittestTask(
        solution=task.solution,
        test=task.test,
        test_class=_identifier("unittest.test_class", task.test_class or "TestCases"),
        entry_point=_identifier("unittest.entry_point", task.entry_point) if task.entry_point else "",
        module_name=_dotted("unittest.module_name", task.module_name or "__test__"),
        disabled_names=_disabled("unittest.disabled_names", task.disabled_names),
    )


def _function_check(task: pb.FunctionCheckTask) -> FunctionCheckTask:
    if not task.entry_point:
        name = "function_check.entry_point"
        raise FieldMissingError(f"{name} is empty: name the function to judge", field=name)
    if not task.check and not task.assertions:
        name = "function_check.check"
        raise FieldMissingError(f"{name} and assertions are both empty: nothing would judge the function", field=name)
    _check_count("function_check.assertions", len(task.assertions))
    return FunctionCheckTask(
        solution=task.solution,
        entry_point=_identifier("function_check.entry_point", task.entry_point),
        check=task.check,
        assertions=tuple(task.assertions),
        disabled_names=_disabled("function_check.disabled_names", task.disabled_names),
    )


def _stdio(task: pb.StdioTask) -> StdioTask:
    if not task.cases:
        raise FieldMissingError("stdio.cases is empty: nothing would judge the program", field="stdio.cases")
    _check_count("stdio.cases", len(task.cases))
    comparison = task.comparison
    return StdioTask(
        source=task.source,
        cases=tuple(StdioCase(case.stdin, case.expected_stdout) for case in task.cases),
        comparison=Comparison(
            mode=_MODES.get(comparison.mode, ComparisonMode.TOKENS),
            absolute_tolerance=_tolerance("absolute_tolerance", comparison.absolute_tolerance),
            relative_tolerance=_tolerance("relative_tolerance", comparison.relative_tolerance),
        ),
        stop_at_first_failure=task.stop_at_first_failure,
    )


def _tolerance(name: str, value: float) -> float:
    # Written so that NaN, which compares false with everything, is refused too.
    if not 0 <= value < float("inf"):
        raise bad(f"stdio.comparison.{name}", value, "not a finite number from 0 up")
    return value or _USUAL_TOLERANCE


def _disabled(name: str, dotted: Iterable[str]) -> tuple[str, ...]:
    names = tuple(dotted)
    _check_count(name, len(names))
    return tuple(_dotted(name, item) for item in names)


def _dotted(name: str, text: str) -> str:
    if not all(part.isidentifier() for part in text.split(".")):
        raise bad(name, text, "not a dotted name")
    return text


def _identifier(name: str, text: str) -> str:
    if not text.isidentifier():
        raise bad(name, text, "not a Python identifier")
    return text


def _check_count(name: str, count: int) -> None:
    if count > _MAXIMUM_ITEMS:
        raise bad(name, f"{count} items", f"above {_MAXIMUM_ITEMS}", maximum=str(_MAXIMUM_ITEMS))


_READERS: dict[str, Callable[[Any], Task]] = {
    "script": _script,
    "unittest": _unittest,
    "function_check": _function_check,
    "stdio": _stdio,
}
