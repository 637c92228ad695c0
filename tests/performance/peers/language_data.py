"""nltk's data in a peer's environment: what the image has, so that both judge with the same."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from typing import TYPE_CHECKING

import docker
from docker.errors import DockerException, ImageNotFound, NotFound

from tests.performance.original import MeasurementError

if TYPE_CHECKING:
    from tests.performance.peers.installing import Installed

_IMAGE = "cupel/bigcodebench"
_PATH = "/opt/cupel/env/nltk_data"
"""Where the image has it: below its environment, where nltk looks without being told."""


def copy_language_data(peer: Installed) -> None:
    """Puts what an image has of nltk's data where nltk looks in a peer's environment; nothing if the image has none.

    Raises:
        MeasurementError: There is no engine, or no such image.
    """
    shutil.rmtree(peer.folder / "nltk_data", ignore_errors=True)
    try:
        client = docker.from_env()
        try:
            container = client.containers.create(_IMAGE)  # never started
            try:
                parts, _ = container.get_archive(_PATH)
                with tempfile.TemporaryFile() as archive:
                    for part in parts:
                        archive.write(part)
                    archive.seek(0)
                    with tarfile.open(fileobj=archive) as members:
                        members.extractall(peer.folder, filter="data")
            except NotFound:
                return
            finally:
                container.remove()
        finally:
            client.close()
    except ImageNotFound as error:
        raise MeasurementError(f"there is no image {_IMAGE}; `make images IMAGES=bigcodebench` builds it") from error
    except DockerException as error:
        raise MeasurementError(f"no container engine answers, and this contest needs one: {error}") from error
