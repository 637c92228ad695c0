"""The server's own words: samples, limits, facts, verdicts.

Plain frozen records, no I/O. `wire` translates them from and to the contract, `runtimes` turns a sample into
facts, `verdict` turns facts into a judgement.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox_server.packages import PackageRequirement


class Verdict(enum.Enum):
    """What became of a sample, in one word. The contract documents each."""

    PASSED = 1
    FAILED_ASSERTION = 2
    WRONG_OUTPUT = 3
    RUNTIME_ERROR = 4
    SYNTAX_ERROR = 5
    IMPORT_MISSING = 6
    NO_ENTRY_POINT = 7
    TIMEOUT_WALL = 8
    TIMEOUT_CPU = 9
    OUT_OF_MEMORY = 10
    OUTPUT_LIMIT = 11
    DISK_LIMIT = 12
    PROCESS_LIMIT = 13
    KILLED = 14
    CRASHED = 15
    EXITED_EARLY = 16
    POLICY_REJECTED = 17
    TAMPERED = 18
    CANCELLED = 19
    SANDBOX_ERROR = 20


class TestStatus(enum.Enum):
    """How a test ended."""

    __test__: ClassVar[bool] = False  # not a test class, whatever its name says to pytest

    UNSPECIFIED = 0
    PASSED = 1
    FAILED = 2
    ERROR = 3
    SKIPPED = 4
    EXPECTED_FAILURE = 5
    UNEXPECTED_SUCCESS = 6
    WRONG_OUTPUT = 7
    NOT_RUN = 8


class Policy(enum.Enum):
    """What becomes of a sample with findings."""

    PERMISSIVE = 1
    STRICT = 2


class Isolation(enum.Enum):
    """What stands between a sample and everything else."""

    CELL = 1
    CONTAINER = 2


class ComparisonMode(enum.Enum):
    """How an output is compared with what is expected."""

    EXACT = 1
    TOKENS = 2
    FLOATS = 3


@dataclass(frozen=True, slots=True)
class File:
    """A file, by its path relative to the working directory, and its content."""

    path: str
    content: bytes


@dataclass(frozen=True, slots=True)
class ScriptTask:
    """Runs a program as `__main__`."""

    source: str
    arguments: tuple[str, ...] = ()
    stdin: bytes = b""
    files: tuple[File, ...] = ()
    collect: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UnittestTask:
    """Judges a solution by the tests of one `unittest.TestCase` class."""

    solution: str
    test: str
    test_class: str = "TestCases"
    entry_point: str = ""
    module_name: str = "__test__"
    disabled_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FunctionCheckTask:
    """Judges a function by `check(candidate)` and by assert statements."""

    solution: str
    entry_point: str
    check: str = ""
    assertions: tuple[str, ...] = ()
    disabled_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StdioCase:
    """One input and the output expected of it."""

    stdin: bytes
    expected_stdout: bytes


@dataclass(frozen=True, slots=True)
class Comparison:
    """When an output is as expected."""

    mode: ComparisonMode = ComparisonMode.TOKENS
    absolute_tolerance: float = 1e-9
    relative_tolerance: float = 1e-9


@dataclass(frozen=True, slots=True)
class StdioTask:
    """Judges a program by what it prints for given inputs."""

    source: str
    cases: tuple[StdioCase, ...]
    comparison: Comparison = field(default_factory=Comparison)
    stop_at_first_failure: bool = False


Task = ScriptTask | UnittestTask | FunctionCheckTask | StdioTask


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what a sample may use, all its processes together unless said otherwise."""

    cpu_time: timedelta = timedelta(seconds=30)
    wall_time: timedelta = timedelta(seconds=60)
    memory_bytes: int = 1 << 30
    processes: int = 64
    output_bytes: int = 16 << 20
    captured_bytes: int = 64 << 10
    """How much of each output stream is kept: half from its head, half from its tail."""
    disk_bytes: int = 256 << 20
    file_size_bytes: int = 128 << 20
    """The size of one file."""
    open_files: int = 256
    """Open files of one process."""

    def with_requested(self, requested: dict[str, Any]) -> Limits:
        """Returns these limits with the given fields replaced."""
        return replace(self, **requested)


@dataclass(frozen=True, slots=True)
class Sample:
    """A program to run and how to judge it. `limits` are complete: defaults are filled in."""

    sample_id: str
    task: Task
    limits: Limits
    attempt: int = 1
    environment: str = ""
    """Empty until its imports, which decide where nothing else does, are known."""
    seed: int = 0
    isolation: Isolation = Isolation.CELL
    policy: Policy = Policy.PERMISSIVE
    priority: int = 0
    trace_context: str = ""
    environment_variables: tuple[tuple[str, str], ...] = ()
    packages: tuple[PackageRequirement, ...] = ()
    named_limits: frozenset[str] = frozenset()
    """The fields of `limits` that the request named: an environment's own defaults do not touch them."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that the static screening saw."""

    rule: str
    message: str
    line: int
    column: int
    rejects: bool


@dataclass(frozen=True, slots=True)
class SyntaxFault:
    """Where and why a program does not parse. Lines and columns count from 1; 0 is unknown."""

    message: str
    line: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True)
class Screening:
    """What the static screening of a sample saw."""

    syntax_fault: SyntaxFault | None
    entry_point_found: bool
    findings: tuple[Finding, ...]
    declared_tests: tuple[str, ...] | None
    """The tests that must be reported, in no order; None where the source alone cannot tell."""
    imports: frozenset[str] | None = None
    """Top-level names of modules that it cannot do without, its own files' left out; None where nobody looked."""

    @property
    def rejected_by_strict(self) -> bool:
        """Whether the strict policy refuses to run the sample."""
        return any(finding.rejects for finding in self.findings)


@dataclass(frozen=True, slots=True)
class TestResult:
    """The result of one test."""

    __test__: ClassVar[bool] = False

    test_id: str
    status: TestStatus
    detail: str = ""
    duration: timedelta = timedelta(0)
    message: str = ""
    """The text of the exception that ended it, as `str` gives it; cut."""


@dataclass(frozen=True, slots=True)
class CapturedOutput:
    """What is kept of an output stream: hostile bytes."""

    head: bytes = b""
    tail: bytes = b""
    total_bytes: int = 0


class MemorySource(enum.Enum):
    """How memory is measured and bounded."""

    UNSPECIFIED = 0
    CGROUP = 1
    SAMPLED = 2


@dataclass(frozen=True, slots=True)
class Usage:
    """What a sample used, all its processes together."""

    cpu_user: timedelta = timedelta(0)
    cpu_system: timedelta = timedelta(0)
    wall: timedelta = timedelta(0)
    peak_memory_bytes: int = 0
    memory_source: MemorySource = MemorySource.UNSPECIFIED
    peak_processes: int = 0


@dataclass(frozen=True, slots=True)
class Timeline:
    """When each stage was reached, in nanoseconds since the epoch by the server's clock; 0 is not reached."""

    received_ns: int = 0
    screened_ns: int = 0
    placed_ns: int = 0
    forked_ns: int = 0
    started_ns: int = 0
    ended_ns: int = 0


class Stage(enum.Enum):
    """How far a sample is known to have come, by frames that its supervisor accepted."""

    NOT_STARTED = "not_started"
    LOADING = "loading"
    TESTING = "testing"
    COMPLETE = "complete"


class Limit(enum.Enum):
    """A limit that the supervisor saw reached, and killed the cell for."""

    CPU = "cpu"
    WALL = "wall"
    MEMORY = "memory"
    OUTPUT = "output"
    DISK = "disk"
    PROCESSES = "processes"


@dataclass(frozen=True, slots=True)
class RaisedError:
    """An exception that the sample's process reported. Its words, so hostile text."""

    type_name: str
    """The class's name, such as "ModuleNotFoundError"."""
    message: str
    traceback: str = ""
    missing_module: str = ""
    """For ImportError and its children: the module that was not found."""
    kind: str = "error"
    """"syntax" when the source did not compile, "entry_point" when it lacks it, else "error"."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What became of a sample, as its cell's supervisor and the agent saw it. No judgement yet."""

    stage: Stage = Stage.NOT_STARTED
    exit_code: int | None = None
    exit_signal: int | None = None
    limit: Limit | None = None
    error: RaisedError | None = None
    """An error that no test owns: while loading, in a script, or in a test module's body."""
    results: tuple[TestResult, ...] = ()
    reported_tests: tuple[str, ...] | None = None
    """The tests that the harness said it would run, before it ran the first."""
    tampering: tuple[str, ...] = ()
    integrity: tuple[str, ...] = ()
    """What the harness found changed in the test framework or the builtins, and when, such as "after load:
    unittest.case.TestCase.assertEqual". Its own process's words: they can accuse and never clear."""
    refused_resources: tuple[str, ...] = ()
    """Limits that the sample ran into without being killed: of {"disk", "processes", "memory"}."""
    stdout: CapturedOutput = field(default_factory=CapturedOutput)
    stderr: CapturedOutput = field(default_factory=CapturedOutput)
    usage: Usage = field(default_factory=Usage)
    files: tuple[File, ...] = ()
    cancelled: bool = False
    sandbox_fault: SandboxFault | None = None
    timeline: Timeline = field(default_factory=Timeline)


@dataclass(frozen=True, slots=True)
class SandboxFault:
    """What went wrong on the server's side."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Wall:
    """One isolation mechanism, and whether it was seen to hold."""

    name: str
    standing: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Environment:
    """An interpreter with its dependencies installed."""

    name: str
    digest: str
    python_version: str
    preload_profiles: tuple[str, ...] = ()
    packages: Mapping[str, str] = field(default_factory=dict)
    """The version of each package, by its normalized name: "scikit-learn", never "Scikit_Learn"."""
    modules: frozenset[str] = frozenset()
    """What can be imported by its top-level name, without the standard library's: "sklearn"."""
    default_limits: Mapping[str, Any] = field(default_factory=dict)
    """Values of fields of `Limits` that hold here for samples that name none, instead of the server's."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What facts mean, in both views."""

    verdict: Verdict
    explanation: str
    compat_passed: bool
    compat_status: str
    strict_passed: bool
    strict_reasons: tuple[str, ...]
    results: tuple[TestResult, ...]
    """The results with what was declared and never reported added as NOT_RUN."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Facts and judgement of a sample, with what it ran under."""

    sample_id: str
    attempt: int
    facts: Facts
    judgement: Judgement
    findings: tuple[Finding, ...]
    limits: Limits
    timeline: Timeline
    environment: str
    environment_digest: str
    isolation: str
    missing_walls: tuple[str, ...] = ()
