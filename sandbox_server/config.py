"""The server's configuration: one frozen object, from options, `CUPEL_SANDBOX_*` variables and defaults.

Nothing else in the server reads an environment variable.
"""

from __future__ import annotations

import os
import re
import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from sandbox_server.model import Limits

_PREFIX = "CUPEL_SANDBOX_"
_NESTED = "__"
_MINUTE = 60.0
_GIB = 1 << 30
_MIB = 1 << 20
_CORES = os.cpu_count() or 1
_MOST_CELLS = 4096

SCIENTIFIC_MODULES = ("numpy", "pandas", "matplotlib.pyplot", "scipy", "sklearn", "seaborn")


class LimitSettings(BaseModel):
    """Limits of a sample, all its processes together unless said otherwise."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpu_time_s: float = Field(gt=0, le=24 * 3600, description="CPU time, in seconds.")
    wall_time_s: float = Field(gt=0, le=24 * 3600, description="Time by the clock, in seconds.")
    memory_bytes: int = Field(ge=16 * _MIB, description="Memory, files in its tmpfs included.")
    processes: int = Field(ge=1, le=1 << 20, description="Processes and threads at once.")
    output_bytes: int = Field(ge=1, description="Output above which the sample is stopped.")
    captured_bytes: int = Field(ge=1, le=_MIB, description="How much of each output stream is kept.")
    disk_bytes: int = Field(ge=1, description="The size of its file system.")
    file_size_bytes: int = Field(ge=1, description="The size of one file.")
    open_files: int = Field(ge=16, le=1 << 20, description="Open files of one process.")

    def limits(self) -> Limits:
        """Returns them as the model's record."""
        fields = self.model_dump()
        cpu_time = timedelta(seconds=fields.pop("cpu_time_s"))
        return Limits(cpu_time=cpu_time, wall_time=timedelta(seconds=fields.pop("wall_time_s")), **fields)


_USUAL = Limits()
DEFAULT_LIMITS = LimitSettings(
    cpu_time_s=_USUAL.cpu_time.total_seconds(),
    wall_time_s=_USUAL.wall_time.total_seconds(),
    memory_bytes=_USUAL.memory_bytes,
    processes=_USUAL.processes,
    output_bytes=_USUAL.output_bytes,
    captured_bytes=_USUAL.captured_bytes,
    disk_bytes=_USUAL.disk_bytes,
    file_size_bytes=_USUAL.file_size_bytes,
    open_files=_USUAL.open_files,
)
MAXIMUM_LIMITS = LimitSettings(
    cpu_time_s=10 * _MINUTE,
    wall_time_s=20 * _MINUTE,
    memory_bytes=32 * _GIB,
    processes=1024,
    output_bytes=_GIB,
    captured_bytes=_MIB,
    disk_bytes=4 * _GIB,
    file_size_bytes=4 * _GIB,
    open_files=4096,
)


class Settings(BaseSettings):
    """Everything that can be set of a sandbox server."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_nested_delimiter=_NESTED, frozen=True, extra="forbid", validate_default=True
    )

    listen: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("127.0.0.1:50061",),
        min_length=1,
        description="Addresses to listen on, separated by commas: host:port or unix:PATH. Port 0: any.",
    )
    insecure_listen: bool = Field(
        default=False,
        description="Listen on addresses that other machines reach. There is no authentication: whoever "
        "reaches the port runs programs here.",
    )
    runtime: Literal["auto", "docker", "local", "simulated"] = Field(
        default="auto",
        description="What makes the workers. auto: docker where an engine answers that has images, else local. "
        "simulated: no workers, invented outcomes.",
    )
    python: Path = Field(
        default=Path(sys.executable),
        description="The interpreter of the local environment, with its packages.",
    )
    environment: str = Field(
        default="local",
        min_length=1,
        max_length=200,
        description="The name that samples use for that environment.",
    )
    cells: int = Field(
        default=min(32 * _CORES, _MOST_CELLS),
        ge=1,
        le=_MOST_CELLS,
        description="How many cells there are at once, at most. Those that sleep leave their slots to others but keep "
        "their memory: this many times what a sample holds while it sleeps has to fit.",
    )
    slots: int = Field(
        default_factory=lambda given: min(3 * _CORES, given.get("cells", _MOST_CELLS)),
        ge=1,
        le=_MOST_CELLS,
        description="How many cells are awake at once, that is, want a CPU, when another one is placed.",
    )
    default_limits: LimitSettings = Field(
        default=DEFAULT_LIMITS, description="Limits in force where a sample names none."
    )
    maximum_limits: LimitSettings = Field(default=MAXIMUM_LIMITS, description="Limits above these are refused.")
    maximum_source_bytes: int = Field(default=_MIB, ge=1, le=4 * _MIB, description="The largest program text.")
    maximum_sample_bytes: int = Field(
        default=4 * _MIB,
        ge=1,
        le=7 * _MIB,
        description="The largest sample: texts, inputs and files together.",
    )
    required_walls: Annotated[frozenset[str], NoDecode] = Field(
        default=frozenset(),
        description="Walls that must stand even with allow_weak_isolation, separated by commas.",
    )
    allow_weak_isolation: bool = Field(
        default=False, description="Start although walls are missing. Each outcome names the missing ones."
    )
    visible_paths: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Paths that cells may read besides the interpreter's, separated by commas."
    )
    hidden_paths: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Paths that cells must not see, separated by commas."
    )
    drain_grace_s: float = Field(
        default=30.0,
        ge=0,
        le=3600,
        description="How long samples in flight may go on when the server stops, in seconds.",
    )
    profiles: dict[str, tuple[str, ...]] = Field(
        default={"scientific": SCIENTIFIC_MODULES},
        description="Preload profiles: a name and the modules that its zygote imports if installed.",
    )
    preload: bool = Field(
        default=True,
        description="Import the modules of preload profiles once for all cells. Verdicts do not depend on it.",
    )
    cells_per_worker: int = Field(
        default=20_000, ge=1, description="After how many cells a worker is replaced by a fresh one."
    )
    worker_lifetime_s: float = Field(
        default=3600.0, gt=0, description="After how many seconds a worker is replaced, at its next sample."
    )
    docker_environments: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="docker: the environments to serve, separated by commas. Without any, all that the engine has.",
    )
    docker_oci_runtime: str = Field(
        default="", description="docker: what the engine starts workers with, such as runsc. Empty is its default."
    )
    docker_memory_bytes: int = Field(
        default=0, ge=0, description="docker: memory of a worker. 0: four fifths of the engine's machine."
    )
    container_oci_runtime: str = Field(
        default="", description="docker: as docker_oci_runtime, for isolation: container."
    )
    container_memory_bytes: int = Field(
        default=0, ge=0, description="docker: memory of a container for one sample. 0: as a worker's."
    )
    warm_containers: int = Field(
        default=_CORES,
        ge=1,
        le=1024,
        description="docker: containers for one sample that are kept ready once a sample has asked for one.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least level that is logged. debug: a line for each sample."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto", description="auto: console on a terminal, else json."
    )
    die_with_parent: bool = Field(default=False, description="Stop when the process that started the server ends.")

    @field_validator("listen", "required_walls", "visible_paths", "hidden_paths", "docker_environments", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return [part.strip() for part in value.split(",") if part.strip()]
        return value

    @field_validator("profiles")
    @classmethod
    def _profile_names(cls, profiles: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for name, modules in profiles.items():
            if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", name) or name == "none":
                raise ValueError(f"{name!r} cannot name a profile: lower-case letters, digits, '-', '_'; not 'none'")
            for module in modules:
                if not all(part.isidentifier() for part in module.split(".")):
                    raise ValueError(f"profile {name!r}: {module!r} is not a module's name")
        return profiles

    @model_validator(mode="before")
    @classmethod
    def _no_unknown_variables(cls, values: Any) -> Any:
        # pydantic-settings ignores variables it does not know; a misspelt one must not go unnoticed.
        for variable in os.environ:
            if not variable.upper().startswith(_PREFIX):
                continue
            name = variable[len(_PREFIX) :].lower().partition(_NESTED)[0]
            if name not in cls.model_fields:
                known = ", ".join(sorted(f"{_PREFIX}{field.upper()}" for field in cls.model_fields))
                raise ValueError(f"unknown variable {variable}; known are {known}")
        return values

    @model_validator(mode="after")
    def _slots_within_cells(self) -> Settings:
        if self.slots > self.cells:
            raise ValueError(f"slots is {self.slots}, above cells: {self.cells}; raise cells with it")
        return self

    @model_validator(mode="after")
    def _defaults_within_maximum(self) -> Settings:
        maximum = self.maximum_limits.model_dump()
        for name, value in self.default_limits.model_dump().items():
            if value > maximum[name]:
                raise ValueError(f"default_limits.{name} is {value}, above maximum_limits.{name}: {maximum[name]}")
        return self

    def printable(self) -> str:
        """Returns the settings as JSON, for `--print-config`."""
        return self.model_dump_json(indent=2)
