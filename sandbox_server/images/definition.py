"""An environment's definition: what `environment.toml` says, and the label made of it. Pure but for `load`."""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from sandbox_server.config import DEFAULT_LIMITS, LimitSettings
from sandbox_server.images.errors import DefinitionError
from sandbox_server.images.names import checked_environment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FILE_NAME = "environment.toml"
_PROFILE = re.compile(r"[a-z][a-z0-9_-]{0,62}")


class Definition(BaseModel):
    """What an environment is, besides its packages."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str = Field(description="The name that samples use for the environment.")
    description: str = Field(min_length=1, max_length=500, description="One line for people.")
    interpreter: str = Field(description="The absolute path of its Python inside the image.")
    profiles: dict[str, list[str]] = Field(
        default={},
        description="Preload profiles: a sample gets the one that has most of what it imports.",
    )
    limits: dict[str, int | float] = Field(
        default={},
        description="Limits in force where a sample names none; what is absent stays as the server has it.",
    )

    @field_validator("name")
    @classmethod
    def _name_can_be_an_images(cls, name: str) -> str:
        try:
            return checked_environment(name)
        except DefinitionError as error:
            raise ValueError(str(error)) from error

    @field_validator("interpreter")
    @classmethod
    def _interpreter_is_absolute(cls, path: str) -> str:
        if not path.startswith("/") or "\0" in path:
            raise ValueError(f"{path!r} is not an absolute path")
        return path

    @field_validator("profiles")
    @classmethod
    def _profiles_can_be_preloaded(cls, profiles: dict[str, list[str]]) -> dict[str, list[str]]:
        for name, modules in profiles.items():
            if not _PROFILE.fullmatch(name) or name == "none":
                raise ValueError(f"{name!r} cannot name a profile: lower-case letters, digits, '-', '_'; not 'none'")
            if not modules:
                raise ValueError(f"profile {name!r} has no modules: leave it out, or name what it preloads")
            for module in modules:
                if not all(part.isidentifier() for part in module.split(".")):
                    raise ValueError(f"profile {name!r}: {module!r} is not a module's name")
        return profiles

    @field_validator("limits")
    @classmethod
    def _limits_are_limits(cls, limits: dict[str, int | float]) -> dict[str, int | float]:
        try:
            LimitSettings.model_validate({**DEFAULT_LIMITS.model_dump(), **limits})
        except ValidationError as error:
            raise ValueError(_faults(error)) from error
        return limits

    def renamed(self, name: str, description: str) -> Definition:
        """Returns the definition of an environment that has this one's interpreter, profiles and limits.

        Raises:
            DefinitionError: The name cannot be an environment's.
        """
        return _validated({**self.model_dump(), "name": name, "description": description}, f"environment {name!r}")

    def as_json(self) -> str:
        """Returns compact JSON, the form of the label. The order of profiles is kept."""
        return json.dumps(self.model_dump(), separators=(",", ":"))

    def as_toml(self) -> str:
        """Returns the form of environment.toml."""
        # A JSON string, list of strings or number is the same in TOML.
        lines = [f"{key} = {json.dumps(getattr(self, key))}" for key in ("name", "description", "interpreter")]
        for table in ("profiles", "limits"):
            content: Mapping[str, object] = getattr(self, table)
            if content:
                lines += ["", f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in content.items())]
        return "\n".join([*lines, ""])


def load(path: Path) -> Definition:
    """Reads an environment.toml.

    Raises:
        DefinitionError: It cannot be read, or does not say what it must. File and field are named.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionError(f"{path}: cannot be read: {error}") from error
    return parse_toml(text, str(path))


def parse_toml(text: str, origin: str) -> Definition:
    """Returns the definition that a text in TOML gives.

    Args:
        text: The content of an environment.toml.
        origin: Where it comes from, for messages.

    Raises:
        DefinitionError: It does not say what it must.
    """
    try:
        return _validated(tomllib.loads(text), origin)
    except tomllib.TOMLDecodeError as error:
        raise DefinitionError(f"{origin}: is not TOML: {error}") from error


def parse_json(text: str, origin: str) -> Definition:
    """Returns the definition that an image's label gives.

    Args:
        text: The label.
        origin: The image, for messages.

    Raises:
        DefinitionError: It does not say what it must.
    """
    try:
        return _validated(json.loads(text), origin)
    except (ValueError, RecursionError) as error:
        raise DefinitionError(f"{origin}: is not JSON: {error}") from error


def _validated(content: object, origin: str) -> Definition:
    try:
        return Definition.model_validate(content)
    except ValidationError as error:
        raise DefinitionError(f"{origin}: {_faults(error)}") from error


def _faults(error: ValidationError) -> str:
    faults = []
    for fault in error.errors(include_url=False):
        place = ".".join(str(part) for part in fault["loc"])
        message = fault["msg"].removeprefix("Value error, ")
        faults.append(f"{place}: {message}" if place else message)
    return "; ".join(faults)
