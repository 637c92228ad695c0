"""The seam between a run and a dataset's format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.model import Completion, Problem, Sample


class Dataset(Protocol):
    """Problems, and how a completion for one of them becomes a sample.

    Loading raises `errors.InputError` naming file, line and field.
    """

    name: str
    """Its name on the command line."""
    environment: str
    """The environment that its samples are meant for, asked for where a server has it; empty leaves the choice to the
    server."""

    @property
    def problems(self) -> Mapping[str, Problem]:
        """The problems by task id, in the dataset's own order."""

    def sample(self, completion: Completion) -> Sample:
        """Assembles the program for a completion, as the dataset's original harness does.

        Raises:
            KeyError: The completion's task is not in this dataset; readers check before.
        """

    def reference(self, task_id: str) -> Completion:
        """Returns the reference completion of a problem."""
