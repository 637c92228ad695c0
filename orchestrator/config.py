"""What a run is asked to do: one frozen object, from options, then `CUPEL_` variables, then defaults."""

from __future__ import annotations

import difflib
import os
from pathlib import Path  # noqa: TC003 - pydantic reads the annotations
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "CUPEL_"
_SERVER_PREFIX = "CUPEL_SANDBOX_"
"""The sandbox server's own settings, which the embedded server inherits."""


def _positive(values: tuple[int, ...]) -> tuple[int, ...]:
    """Returns k values, sorted and each once."""
    if not values or min(values) < 1:
        raise ValueError("every k is at least 1")
    return tuple(sorted(set(values)))


class Config(BaseSettings):
    """What `cupel evaluate` is asked to do. `CUPEL_PARALLEL=8` sets `parallel`, and so on."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=True)

    samples: str | None = Field(None, description="Sample file (JSONL, may be gzipped) or folder.")
    dataset: str = Field("demo", description="Name of the dataset.")
    data: str | None = Field(None, description="Local file of the dataset, in its own columns.")
    split: Literal["complete", "instruct"] = Field("complete", description="BigCodeBench: which prompt.")
    subset: Literal["full", "hard"] = Field("full", description="BigCodeBench: which problems.")
    calibrated: bool = Field(True, description="BigCodeBench: put the prompt's code before each solution.")
    sandbox: str | None = Field(None, description="Addresses of sandbox servers; None starts one.")
    runtime: Literal["auto", "docker", "local"] = Field("auto", description="Runtime of the embedded server.")
    isolation: Literal["cell", "container"] = Field(
        "cell", description="What each sample gets of its own: a cell, or a whole container with a cell in it."
    )
    environment: str = Field(
        "", description="Environment for every sample; empty is the dataset's choice, or the server's."
    )
    python: str | None = Field(None, description="Interpreter of the embedded server's environment.")
    parallel: int | None = Field(None, ge=1, description="Samples at once; None leaves it to the servers.")
    pass_k: Annotated[tuple[int, ...], AfterValidator(_positive), NoDecode] = Field(
        (1, 5, 10),
        description="The k of pass@k; those above the number of samples of a problem are left out.",
    )
    only_tasks: str | None = Field(None, description="Problems to evaluate, by id.")
    id_range: str | None = Field(None, description="Problems to evaluate, A-B: from A up to but not B.")
    partial: bool = Field(False, description="Score the problems that have samples, if not all have.")
    check_gt_only: bool = Field(False, description="Run the reference solutions instead of samples.")
    gt: bool | None = Field(None, description="Run reference solutions too; None: for BigCodeBench.")
    seed: int = Field(0, ge=-(2**63), lt=2**63, description="Seeds the random numbers of every cell.")
    out: Path | None = Field(None, description="Folder for results; None is beside the samples.")
    resume: bool = Field(True, description="Continue from the journal, if there is one.")
    allow_weak_isolation: bool = Field(False, description="Run although walls are missing.")
    start_timeout_s: float = Field(120.0, gt=0, description="How long the embedded server may take to start.")
    patience_s: float = Field(30.0, ge=0, description="How long a lost server may take to come back.")

    @model_validator(mode="before")
    @classmethod
    def _split_lists(cls, values: Any) -> Any:
        """Takes `1,5,10` for the k of pass@k, as the option and the variable have it."""
        if isinstance(values, dict) and isinstance(values.get("pass_k"), str):
            return {
                **values,
                "pass_k": tuple(part.strip() for part in values["pass_k"].split(",") if part.strip()),
            }
        return values

    @model_validator(mode="after")
    def _exclusive(self) -> Self:
        """Refuses options that exclude each other."""
        clashes = [
            (self.only_tasks is not None and self.id_range is not None, "--only-tasks and --id-range"),
            (self.check_gt_only and self.samples is not None, "--check-gt-only and --samples"),
            (self.check_gt_only and self.gt is False, "--check-gt-only and --no-gt"),
            (self.sandbox is not None and self.python is not None, "--sandbox and --python"),
            (self.sandbox is not None and self.runtime != "auto", "--sandbox and --runtime"),
            (self.python is not None and self.runtime == "docker", "--python and --runtime docker"),
        ]
        for clash, names in clashes:
            if clash:
                raise ValueError(f"{names} exclude each other")
        return self


def load_config(options: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> Config:
    """Returns the configuration of given options; those that are None were not given.

    Raises:
        errors.UsageError: An option or a variable means nothing, or options exclude each other.
    """
    known = {f"{PREFIX}{name.upper()}" for name in Config.model_fields}
    for name in environ:
        if name.startswith(PREFIX) and not name.startswith(_SERVER_PREFIX) and name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {close[0]}?" if close else "; unset it"
            raise UsageError(f"the environment variable {name} means nothing to cupel{hint}")
    try:
        return Config(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        faults = "; ".join(_fault(fault["loc"], fault["msg"], options) for fault in error.errors())
        raise UsageError(faults) from error


def _fault(place: tuple[int | str, ...], message: str, options: Mapping[str, Any]) -> str:
    """Returns what is wrong with one setting, by the name the user gave it."""
    words = message.removeprefix("Value error, ")
    if not place:
        return words
    field = str(place[0])
    given = options.get(field) is not None
    option, variable = f"--{field.replace('_', '-')}", f"{PREFIX}{field.upper()}"
    return f"{option if given else variable}: {words}"
