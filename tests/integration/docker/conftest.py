"""An engine for tests that build images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox_server.runtimes.docker import building

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def engine() -> Iterator[building.ImageEngine]:
    """A connection to the engine. Tests that use it are marked `docker`, which leaves them out where there is none."""
    with building.connected() as connected:
        yield connected
