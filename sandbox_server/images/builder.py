"""Building: from a recipe, or from another image by adding packages.

An image is built in two steps. The first gives everything but the labels; what those tell of the image, its Python
and what pip resolved, is then read out of it, and the second step adds nothing but them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING

from sandbox_server.images import definition, derived, digest, names, recipe, requirements
from sandbox_server.images.errors import BuildFailedError, ImageMakingError
from sandbox_server.images.explaining import explain
from sandbox_server.images.labels import Contents, labels_of
from sandbox_server.runtimes.docker import labels as marks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sandbox_server.images.definition import Definition
    from sandbox_server.runtimes.docker.building import ImageEngine

LOCK_PATH = "/opt/cupel/requirements.lock"
_PYTHON_PATH = "/opt/cupel/env/pyvenv.cfg"
_PYTHON_VERSION = re.compile(r"^version(?:_info)?\s*=\s*(\d+\.\d+\.\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What a build needs of the machine that it runs on. None of it is left in an image."""

    network: str | None = None
    """The network of RUN steps, such as "host"; None is the engine's usual one."""
    ca_bundle: bytes | None = None
    """Certificates that pip trusts, in PEM."""
    arguments: Mapping[str, str] = field(default_factory=dict)
    """Values for ARGs of the Dockerfile, such as PIP_INDEX_URL."""
    use_cache: bool = True


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """An image that was built."""

    reference: str
    id: str
    size_bytes: int
    definition: Definition
    python_version: str
    packages: Mapping[str, str]
    """Name and version of what its lock pins."""


def build(
    engine: ImageEngine,
    name: str,
    *,
    base_image: str,
    options: BuildOptions | None = None,
    tag: str = "latest",
    progress: Callable[[str], None] | None = None,
) -> BuiltImage:
    """Builds the image of an environment from its recipe.

    Args:
        engine: What builds.
        name: The environment.
        base_image: What it stands on; the engine has it.
        options: What the build needs of this machine.
        tag: The tag of cupel/<name>.
        progress: Called with each line of output.

    Raises:
        RecipeError: There is no such recipe, or it is incomplete.
        DefinitionError: Its environment.toml does not say what it must.
        BuildFailedError: A step failed.
    """
    chosen = options or BuildOptions()
    made_of = recipe.load(name)
    context = recipe.context(made_of.files, chosen.ca_bundle)
    arguments = {**chosen.arguments, "BASE_IMAGE": base_image}
    return _build(
        engine,
        defined=made_of.definition,
        context=context,
        arguments=arguments,
        options=chosen,
        tag=tag,
        progress=progress,
    )


def build_derived(
    engine: ImageEngine,
    from_: str,
    packages: Sequence[str],
    name: str,
    *,
    options: BuildOptions | None = None,
    tag: str = "latest",
    parent_tag: str = "latest",
    progress: Callable[[str], None] | None = None,
) -> BuiltImage:
    """Builds an environment that is another one with packages added. Its profiles and limits are the other's.

    Args:
        engine: What builds.
        from_: The environment to start from; its image is there.
        packages: Requirements by PEP 508; each text may hold several, with commas between.
        name: The new environment.
        options: What the build needs of this machine.
        tag: The tag of cupel/<name>.
        parent_tag: The tag of the image to start from.
        progress: Called with each line of output.

    Raises:
        PackageError: The packages are no requirements.
        DefinitionError: The name cannot be an environment's, or is the parent's.
        ImageMakingError: The image to start from is not there, or none of Cupel's.
        BuildFailedError: A step failed; pip's own words are told.
    """
    chosen = options or BuildOptions()
    wanted = requirements.parse(packages)
    names.checked_environment(name)
    parent_reference = names.reference(names.checked_environment(from_), parent_tag)
    if name in (from_, *recipe.names()):
        # Its next rebuild would silently lose what was added.
        raise ImageMakingError(
            f"{name!r} is the name of an environment with a recipe, or of the parent: choose another --name"
        )
    parent = engine.find(parent_reference)
    if parent is None:
        raise ImageMakingError(
            f"there is no image {parent_reference}: build it first (`cupel-sandbox images build {from_}`)"
        )
    parent_definition = definition.parse_json(
        parent.labels.get(marks.DEFINITION, ""), f"label {marks.DEFINITION} of {parent_reference}"
    )
    defined = parent_definition.renamed(name, f"{from_} with {', '.join(wanted)}"[:500])
    context = recipe.context(derived.files(defined, wanted), chosen.ca_bundle)
    arguments = {**chosen.arguments, "PARENT": parent.id}
    return _build(
        engine, defined=defined, context=context, arguments=arguments, options=chosen, tag=tag, progress=progress
    )


def _build(
    engine: ImageEngine,
    *,
    defined: Definition,
    context: bytes,
    arguments: Mapping[str, str],
    options: BuildOptions,
    tag: str,
    progress: Callable[[str], None] | None,
) -> BuiltImage:
    reference = names.reference(defined.name, tag)
    earlier = engine.find(reference)
    try:
        bare = engine.build(
            context, arguments=arguments, network=options.network, use_cache=options.use_cache, progress=progress
        )
        contents = Contents(
            lock=engine.read_file(bare, LOCK_PATH),
            python_version=_python_version(engine.read_file(bare, _PYTHON_PATH).decode("utf-8"), reference),
            agent_digest=digest.agent_digest(),
        )
        labels = labels_of(defined, contents, metadata.version("cupel"))
        image_id = engine.build(_only_labels(bare), tag=reference, labels=labels)
    except BuildFailedError as error:
        raise BuildFailedError(
            f"{reference} was not built:\n{explain(str(error), error.lines)}", error.lines
        ) from error
    if earlier is not None and earlier.id != image_id:
        engine.forget(earlier.id)
    facts = engine.find(image_id)
    if facts is None:
        raise ImageMakingError(f"{reference} was built as {image_id}, and is gone: does something else remove images?")
    packages = requirements.pinned(contents.lock.decode("utf-8"))
    return BuiltImage(reference, image_id, facts.size_bytes, defined, contents.python_version, packages)


def _only_labels(image_id: str) -> bytes:
    return recipe.archive({recipe.DOCKERFILE: f"FROM {image_id}\n".encode()})


def _python_version(pyvenv: str, reference: str) -> str:
    found = _PYTHON_VERSION.search(pyvenv)
    if found is None:
        raise ImageMakingError(f"{_PYTHON_PATH} of {reference} does not tell the version of its Python")
    return found[1]
