"""An engine without Docker: it records what it is asked to build."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from sandbox_server.images.errors import BaseImageError, BuildFailedError
from sandbox_server.runtimes.docker.building import ImageEngine, ImageFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


@dataclass
class Build:
    """One build that was asked for."""

    files: Mapping[str, bytes]
    tag: str | None
    labels: Mapping[str, str]
    arguments: Mapping[str, str]
    network: str | None
    use_cache: bool


@dataclass
class FakeEngine(ImageEngine):
    """Images are what tests put in; a build gives a new one."""

    images: dict[str, ImageFacts] = field(default_factory=dict)
    """By reference and by id."""
    files: dict[str, bytes] = field(default_factory=dict)
    """What every image holds, by path."""
    pullable: set[str] = field(default_factory=set)
    fails: tuple[str, ...] | None = None
    """The output of a build that fails."""
    builds: list[Build] = field(default_factory=list)
    pulled: list[str] = field(default_factory=list)
    imported: list[str] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)

    def close(self) -> None:
        pass

    def find(self, reference: str) -> ImageFacts | None:
        return self.images.get(reference)

    def labelled(self, label: str) -> tuple[ImageFacts, ...]:
        return tuple(one for key, one in self.images.items() if label in one.labels and key == one.id)

    def put(self, reference: str, labels: Mapping[str, str] | None = None) -> ImageFacts:
        facts = ImageFacts(f"sha256:{len(self.images):064x}", (reference,), 1 << 20, labels or {})
        self.images[reference] = self.images[facts.id] = facts
        return facts

    def pull(self, reference: str, patience_s: int) -> None:
        assert patience_s > 0
        self.pulled.append(reference)
        if reference not in self.pullable:
            raise BaseImageError(f"cannot pull {reference}: no such host")
        self.put(reference)

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
        with tarfile.open(fileobj=io.BytesIO(context)) as tar:
            opened = {member.name: tar.extractfile(member) for member in tar.getmembers()}
            files = {name: file.read() for name, file in opened.items() if file is not None}
        self.builds.append(Build(files, tag, labels or {}, arguments or {}, network, use_cache))
        if progress is not None:
            progress("Step 1/1 : FROM scratch")
        if self.fails is not None:
            raise BuildFailedError("returned a non-zero code: 1", self.fails)
        return self.put(tag or f"untagged:{len(self.images)}", labels).id

    def import_root(self, tree: IO[bytes], reference: str, changes: Sequence[str]) -> None:
        assert changes
        tree.read()
        self.imported.append(reference)
        self.put(reference)

    def read_file(self, image: str, path: str) -> bytes:
        assert image in self.images
        return self.files[path]

    def forget(self, image_id: str) -> None:
        self.forgotten.append(image_id)
