"""What a run is going to do: which samples, made how, and what its results depend on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.datasets import load
from orchestrator.datasets.demo import samples_path
from orchestrator.errors import UsageError
from orchestrator.formats.results import ResultPaths
from orchestrator.formats.samples import read_samples
from orchestrator.selection import restrict, select

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orchestrator.config import Config
    from orchestrator.datasets.base import Dataset
    from orchestrator.model import Completion, Sample

_REFERENCE = "reference"
_OWN_RESULTS = Path("results")
"""Where results go when there is no sample file to put them beside."""


@dataclass(frozen=True, slots=True)
class Item:
    """One sample to judge."""

    completion: Completion
    is_beside: bool = False
    """Whether it is a reference solution that runs beside the samples and is not scored."""

    @property
    def sample_id(self) -> str:
        """The name of its sample in this run."""
        return self.completion.sample_id


class Plan:
    """The samples of a run, assembled one at a time when they are asked for."""

    def __init__(self, dataset: Dataset, items: Sequence[Item], config: Config, paths: ResultPaths) -> None:
        self._dataset = dataset
        self._config = config
        self.items = {item.sample_id: item for item in items}
        self.paths = paths

    def sample(self, item: Item) -> Sample:
        """Assembles the program of an item."""
        sample = self._dataset.sample(item.completion)
        environment = self._config.environment or sample.environment
        return replace(sample, environment=environment, isolation=self._config.isolation, seed=self._config.seed)

    @property
    def wished_environment(self) -> str:
        """The environment that the dataset is meant for; empty where it has none, or the user named another."""
        return "" if self._config.environment else self._dataset.environment

    @property
    def scored(self) -> Iterator[Item]:
        """The items that scores are about, by problem in the dataset's order, then by index."""
        return (item for item in self.items.values() if not item.is_beside)

    @property
    def references(self) -> list[Item]:
        """Reference solutions that run beside the samples."""
        return [item for item in self.items.values() if item.is_beside]

    def identity(self) -> dict[str, Any]:
        """Returns what results depend on besides each sample's own program."""
        config = self._config
        return {
            "cupel": version("cupel"),
            "dataset": config.dataset,
            "dataset_digest": _digest(config.data),
            "split": config.split,
            "subset": config.subset,
            "calibrated": config.calibrated,
            "seed": config.seed,
            "environment": config.environment,
            "runtime": config.runtime,
            "isolation": config.isolation,
            "python": config.python or "",
            "check_gt_only": config.check_gt_only,
        }


def make_plan(config: Config) -> Plan:
    """Reads the dataset and the samples.

    Raises:
        errors.UsageError: Options name problems that there are not, or samples are needed and not given.
        errors.InputError: The dataset or the samples cannot be used as they are.
    """
    dataset = load(
        config.dataset,
        data=config.data,
        calibrated=config.calibrated,
        split=config.split,
        subset=config.subset,
    )
    selected = select(list(dataset.problems), config.only_tasks, config.id_range)
    if config.check_gt_only:
        completions = [dataset.reference(task_id) for task_id in selected]
        paths = ResultPaths.of(f"{config.dataset}-{_REFERENCE}", config.out or _OWN_RESULTS)
    else:
        completions, paths = _completions(config, dataset)
        is_chosen = config.only_tasks is not None or config.id_range is not None
        file = config.samples or config.dataset
        completions = restrict(completions, selected, partial=config.partial or is_chosen, file=file)
    items = [Item(completion) for completion in completions]
    runs_references = config.dataset == "bigcodebench" if config.gt is None else config.gt
    if runs_references and not config.check_gt_only:
        present = dict.fromkeys(completion.task_id for completion in completions)
        items += [Item(dataset.reference(task_id), is_beside=True) for task_id in present]
    return Plan(dataset, items, config, paths)


def _completions(config: Config, dataset: Dataset) -> tuple[list[Completion], ResultPaths]:
    """Returns the samples to judge, and where the results go."""
    if config.samples is not None:
        return read_samples(config.samples, dataset), ResultPaths.of(config.samples, config.out)
    if config.dataset == "demo":
        return read_samples(samples_path(), dataset), ResultPaths.of("demo", config.out or _OWN_RESULTS)
    raise UsageError(
        f"--samples is missing: the dataset {config.dataset!r} has no samples of its own "
        "(--check-gt-only runs its reference solutions)"
    )


def _digest(data: str | None) -> str:
    """Returns a digest of a dataset's file; "packaged" for datasets that come with this version."""
    if data is None:
        return "packaged"
    with Path(data).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
