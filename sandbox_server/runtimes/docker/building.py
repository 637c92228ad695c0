"""What making images needs of a Docker engine: build, pull, import, inspect, read a file of an image.

Only the classic build API is used: no BuildKit, so that every engine since 20.10 will do.
"""

from __future__ import annotations

import contextlib
import io
import re
import tarfile
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

import docker
import requests.exceptions
from docker.errors import APIError, DockerException, ImageNotFound, NotFound

from sandbox_server.errors import EngineUnavailableError
from sandbox_server.images.errors import BaseImageError, BuildFailedError, ImageMakingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_KEPT_LINES = 400
_SYSTEMS_WORDS = re.compile(r"\[Errno -?\d+\] ([\w ]+)|Error\(\d+, '([\w ]+)'\)")
_MAXIMUM_FILE_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What an engine tells of an image."""

    id: str
    tags: tuple[str, ...]
    size_bytes: int
    labels: Mapping[str, str] = field(default_factory=dict)


class ImageEngine:
    """A Docker engine, as far as images go.

    Args:
        client: A connected client of the docker SDK.
    """

    def __init__(self, client: docker.DockerClient) -> None:
        self._client = client

    @classmethod
    def connect(cls, timeout_s: int = 600) -> ImageEngine:
        """Connects to the engine that DOCKER_HOST names, else to this machine's.

        Args:
            timeout_s: How long the engine may be silent, in seconds: a build step may write nothing for minutes.

        Raises:
            EngineUnavailableError: None answers.
        """
        try:
            client = docker.from_env(timeout=timeout_s)
            client.ping()
        except (DockerException, requests.exceptions.RequestException) as error:
            raise EngineUnavailableError(
                f"no Docker engine answers: {_plain(error)}. Is dockerd running, may you use its socket "
                "(group docker), or does DOCKER_HOST name another engine?"
            ) from error
        return cls(client)

    def close(self) -> None:
        """Ends the connection."""
        self._client.close()

    def find(self, reference: str) -> ImageFacts | None:
        """Returns an image by name or id, None when the engine has none."""
        try:
            return _facts(self._inspect(reference))
        except ImageNotFound:
            return None

    def labelled(self, label: str) -> tuple[ImageFacts, ...]:
        """Returns the tagged images that carry a label."""
        listed = self._client.api.images(filters={"label": label, "dangling": False})
        return tuple(_facts(self._inspect(one["Id"])) for one in listed)

    def pull(self, reference: str, patience_s: int) -> None:
        """Pulls an image from its registry.

        Args:
            reference: What to pull.
            patience_s: For how long nothing may come, in seconds: where no registry is reached an engine hangs.

        Raises:
            BaseImageError: It did not come.
        """
        repository, _, tag = reference.rpartition(":") if ":" in reference.rpartition("/")[2] else (reference, "", "")
        # A connection of its own: the time-out of the usual one is for builds.
        api = docker.from_env(timeout=patience_s).api
        try:
            failure = ""
            for message in api.pull(repository, tag=tag or "latest", stream=True, decode=True):
                failure = str(message.get("error", failure))
            if failure:
                raise BaseImageError(f"cannot pull {reference}: {failure}")
        except (requests.exceptions.RequestException, DockerException) as error:
            raise BaseImageError(f"cannot pull {reference}: {_plain(error)}") from error
        finally:
            api.close()

    def build(
        self,
        context: bytes,
        *,
        tag: str | None = None,
        labels: Mapping[str, str] | None = None,
        arguments: Mapping[str, str] | None = None,
        network: str | None = None,
        use_cache: bool = True,
        progress: Callable[[str], None] | None = None,
    ) -> str:
        """Builds an image and returns its id.

        Args:
            context: The build context, a tar.
            tag: The reference that the image gets.
            labels: The labels that the image gets.
            arguments: Values of the Dockerfile's ARGs.
            network: The network of its RUN steps; None is the engine's usual one.
            use_cache: Whether steps that were built before are taken as they are.
            progress: Called with each line of output.

        Raises:
            BuildFailedError: A step failed.
        """
        lines: list[str] = []
        image_id = failure = ""
        stream = self._client.api.build(
            fileobj=io.BytesIO(context), custom_context=True, tag=tag, labels=dict(labels or {}),
            buildargs=dict(arguments or {}), network_mode=network, nocache=not use_cache, rm=True, forcerm=True,
            decode=True,
        )  # fmt: skip
        try:
            for message in stream:
                for line in str(message.get("stream", "")).splitlines():
                    if line.strip():
                        del lines[: -_KEPT_LINES + 1]
                        lines.append(line.rstrip())
                        if progress is not None:
                            progress(line.rstrip())
                # Read on to the end of the answer: a connection that is left in the middle of one stays open.
                failure = str(message.get("error", failure)).strip()
                image_id = str((message.get("aux") or {}).get("ID", image_id))
        except (requests.exceptions.RequestException, DockerException) as error:
            raise BuildFailedError(f"the engine gave up: {_plain(error)}", tuple(lines)) from error
        if failure:
            raise BuildFailedError(failure, tuple(lines))
        if not image_id:
            raise BuildFailedError("the engine ended the build without naming an image", tuple(lines))
        return image_id

    def import_root(self, tree: IO[bytes], reference: str, changes: Sequence[str]) -> None:
        """Makes an image of a root file system.

        Args:
            tree: The file system as a tar.
            reference: What the image is called.
            changes: Instructions of a Dockerfile that complete it, such as 'CMD ["python3"]'.

        Raises:
            BaseImageError: The engine does not take it.
        """
        repository, _, tag = reference.rpartition(":")
        try:
            self._client.api.import_image_from_stream(tree, repository=repository, tag=tag, changes=list(changes))
        except (requests.exceptions.RequestException, DockerException) as error:
            raise BaseImageError(f"cannot import {reference}: {_plain(error)}") from error

    def read_file(self, image: str, path: str) -> bytes:
        """Returns a file of an image, without running anything of it.

        Raises:
            ImageMakingError: It is not there, no plain file, or above 16 MiB.
        """
        api = self._client.api
        container = api.create_container(image, command=["/nothing-runs"], network_disabled=True)["Id"]
        try:
            stream, status = api.get_archive(container, path)
            if status["size"] > _MAXIMUM_FILE_BYTES:
                raise ImageMakingError(f"{path} of image {image} is larger than {_MAXIMUM_FILE_BYTES >> 20} MiB")
            with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
                content = archive.extractfile(archive.getmembers()[0])
                if content is None:
                    raise ImageMakingError(f"{path} of image {image} is no plain file")
                return content.read()
        except NotFound as error:
            raise ImageMakingError(f"image {image} has no {path}: it is not made as Cupel makes images") from error
        finally:
            api.remove_container(container, force=True, v=True)

    def _inspect(self, reference: str) -> Mapping[str, Any]:
        inspected: Mapping[str, Any] = self._client.api.inspect_image(reference)  # type: ignore[no-untyped-call]
        return inspected

    def untag(self, reference: str) -> None:
        """Takes a name from an image; one that has no other goes, with the steps that only it was made of."""
        self._client.api.remove_image(reference)

    def forget(self, image_id: str) -> None:
        """Removes an image that lost its last tag, if nothing else needs it. The build cache keeps its steps."""
        facts = self.find(image_id)
        if facts is None or facts.tags:
            return
        # A conflict: a container runs it, or an image was made of it.
        with contextlib.suppress(APIError):
            self._client.api.remove_image(image_id, noprune=True)


@contextlib.contextmanager
def connected() -> Iterator[ImageEngine]:
    """Connects to an engine for as long as the context lasts.

    Raises:
        EngineUnavailableError: None answers.
    """
    engine = ImageEngine.connect()
    try:
        yield engine
    finally:
        engine.close()


def _facts(inspected: Mapping[str, Any]) -> ImageFacts:
    return ImageFacts(
        id=inspected["Id"],
        tags=tuple(inspected.get("RepoTags") or ()),
        size_bytes=inspected["Size"],
        labels=dict((inspected.get("Config") or {}).get("Labels") or {}),
    )


def _plain(error: Exception) -> str:
    if isinstance(error, APIError) and error.explanation:
        return str(error.explanation).strip()
    if isinstance(error, requests.exceptions.Timeout) or "Read timed out" in str(error):
        return "it did not answer in time"
    # Of exceptions wrapped in one another, the system's own words.
    found = _SYSTEMS_WORDS.search(str(error))
    return (found[1] or found[2]) if found else str(error).strip() or type(error).__name__
