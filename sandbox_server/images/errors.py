"""What can go wrong with images.

SandboxServerError
└── ImageMakingError        no image was made, or one could not be read
    ├── DefinitionError     an environment.toml, or an image's label, does not say what it must
    ├── RecipeError         deploy/images/<name> is missing or incomplete
    ├── PackageError        packages that are no requirements by PEP 508
    ├── BaseImageError      there is no image to build on, and none could be made
    └── BuildFailedError    a step of a build failed

An engine that does not answer is `sandbox_server.errors.EngineUnavailableError`, as it is for the runtime.
"""

from __future__ import annotations

from sandbox_server.errors import SandboxServerError


class ImageMakingError(SandboxServerError):
    """Raised when an image cannot be made or read."""


class DefinitionError(ImageMakingError):
    """Raised when an environment's definition does not say what it must."""


class RecipeError(ImageMakingError):
    """Raised when the folder that an image is made of is missing or incomplete."""


class PackageError(ImageMakingError):
    """Raised when packages are not named as pip needs them named."""


class BaseImageError(ImageMakingError):
    """Raised when there is no image to build on and none could be made."""


class BuildFailedError(ImageMakingError):
    """Raised when a step of a build fails.

    `lines` are what the step wrote last, the oldest first.
    """

    def __init__(self, message: str, lines: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.lines = lines
