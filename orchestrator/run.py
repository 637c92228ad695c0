"""Wires one run: plan, journal, servers, scores, result files. The only module that knows every part.

Bad input never loses good work: a sample that servers refuse (a limit above their maximum, say) is told after
all others were judged, and what was judged is in the journal, so that the same command after mending the file
runs the mended samples alone. Result files are written only when every sample has an answer: a score over
what happened to go well would look like one. They are those of the last command (of its selection, that is);
the journal keeps what all of them found, and tells it again without a server.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from orchestrator.dispatch.child import Child
from orchestrator.errors import InputError, ResultsExistError, UsageError
from orchestrator.formats.results import (
    Row,
    pass_at_k_record,
    write_eval_results,
    write_pass_at_k,
    writing_outcomes,
)
from orchestrator.journal import Entry, keep_old, open_journal, sample_digest
from orchestrator.ledger import Ledger
from orchestrator.outcome import result_of
from orchestrator.plan import make_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from orchestrator.config import Config
    from orchestrator.dispatch.dispatcher import Refused
    from orchestrator.formats.results import ResultPaths
    from orchestrator.journal import Journal
    from orchestrator.plan import Plan
    from orchestrator.progress import RunProgress
    from orchestrator.scoring import Summary

_REFUSALS_IN_MESSAGE = 20


@dataclass(frozen=True, slots=True)
class References:
    """How the reference solutions did that ran beside the samples."""

    judged: int
    failed: list[str]
    """Problems whose reference does not pass, in the compat view."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a finished run has to tell."""

    summary: Summary
    references: References | None
    paths: ResultPaths
    wall_s: float
    fresh: int
    """How many samples were judged in this session, references among them; others were in the journal."""
    fresh_scored: int
    """The same, of the samples that scores are about."""
    missing_walls: dict[str, int]
    """How many samples ran without which wall."""
    environments: dict[str, int]
    """How many samples ran in which environment, by name and digest."""

    @property
    def sandbox_errors(self) -> int:
        """How many samples say nothing, because the sandbox failed at them."""
        return len(self.summary.masked)


def evaluate(config: Config, make_progress: Callable[[], RunProgress]) -> Report:
    """Runs what a configuration asks for and writes its result files.

    The run's own server boots while this process imports what it needs itself, and ends while scores are
    computed; neither is there for a run that has all its outcomes in the journal.

    Args:
        config: What to do.
        make_progress: Returns what shows how the run is getting on; called when the server is on its way.

    Raises:
        errors.CupelError: As the tree in `errors` says; the journal keeps what was judged.
    """
    plan = make_plan(config)
    paths = plan.paths
    _make_folder(paths.out)
    began = time.monotonic()
    ledger = Ledger()
    with _open(plan, resume=config.resume) as journal, ExitStack() as ending:
        remarks = _resume(plan, journal, ledger)
        pending = [item for item in plan.items.values() if item.sample_id not in journal]
        child = None
        if pending and config.sandbox is None:
            child = ending.enter_context(Child(_server_words(config), paths.log))
            child.start()
        refused: list[Refused] = []
        progress = make_progress()
        for remark in remarks:
            progress.say(remark)
        if pending:
            from orchestrator.session import Session  # noqa: PLC0415 -- it costs, and the server boots meanwhile
        # Threads of numpy's BLAS would look for work, which there is none of, on the cores that samples need.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        from orchestrator.scoring import summarize  # noqa: PLC0415 -- as above: numpy

        progress.start(len(plan.items), len(plan.items) - len(pending))
        try:
            if pending:
                refused = Session(config, plan, journal, ledger, progress=progress, child=child).judge(pending)
        finally:
            progress.stop()
        if refused:
            raise _refusal(config, plan, refused, len(ledger.results))
        results = [ledger.results[item.sample_id] for item in plan.scored]
        summary = summarize(results, config.pass_k)
        references = _references(plan, ledger)
        _write(config, plan, journal, summary, references)
    return Report(
        summary=summary,
        references=references,
        paths=paths,
        wall_s=time.monotonic() - began,
        fresh=len(pending),
        fresh_scored=sum(not item.is_beside for item in pending),
        missing_walls=dict(ledger.missing_walls),
        environments=dict(ledger.environments),
    )


def _make_folder(path: Path) -> None:
    """Makes the folder for results.

    Raises:
        errors.UsageError: It cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out: {path}: {error.strerror}; choose another folder") from error


def _open(plan: Plan, *, resume: bool) -> Journal:
    """Opens the run's journal, after older files were moved away where the user wants that."""
    paths = plan.paths
    if resume:
        standing = [path for path in paths.results if path.exists()]
        if standing and not paths.journal.exists():
            raise ResultsExistError(
                f"{standing[0]}: results of another run would be overwritten; choose another --out, "
                "or keep them as .bak with --no-resume"
            )
        return open_journal(paths.journal)
    with open_journal(paths.journal):  # nobody else writes it while it is moved
        for path in (paths.journal, *paths.results):
            keep_old(path)
    return open_journal(paths.journal)


def _resume(plan: Plan, journal: Journal, ledger: Ledger) -> list[str]:
    """Takes over what the journal holds of this run; returns what the user should know of it."""
    changed = 0

    def take(entry: Entry) -> bool:
        nonlocal changed
        item = plan.items.get(entry.sample_id)
        if item is None:
            return False
        if sample_digest(plan.sample(item)) != entry.digest:
            changed += 1
            return False
        completion = item.completion
        result = result_of(entry.sample_id, completion.task_id, completion.index, entry.outcome)
        if result.is_sandbox_error:
            return False
        ledger.enter(result)
        return True

    garbled, _ = journal.read(plan.identity(), take)
    if changed and not ledger.results:
        raise ResultsExistError(
            f"{journal.path}: this is the journal of other samples; choose another --out, "
            "or start anew with --no-resume, which keeps it as .bak"
        )
    remarks = []
    if changed:
        remarks.append(f"{changed} samples have changed since the last run and run again")
    if garbled:
        remarks.append(f"{journal.path}: {garbled} lines are garbled; what they held runs again")
    return remarks


def _server_words(config: Config) -> list[str]:
    """Returns the options of the run's own server."""
    words = ["--runtime", config.runtime]
    if config.environment:
        words += ["--docker-environments", config.environment]  # others need not be started for this run
    if config.python is not None:
        words += ["--python", config.python]
    if config.parallel is not None:
        words += ["--cells", str(config.parallel)]
    if config.allow_weak_isolation:
        words.append("--allow-weak-isolation")
    return words


def _refusal(config: Config, plan: Plan, refused: Sequence[Refused], judged: int) -> InputError:
    """Returns an error that names every refused sample by file, line and field."""
    lines = []
    for one in refused[:_REFUSALS_IN_MESSAGE]:
        place = plan.items[one.sample.sample_id].completion.source or one.sample.sample_id
        field_name = f"field {one.field!r}: " if one.field else ""
        lines.append(f"\n  {place}: {field_name}{one.message} ({one.reason})")
    if len(refused) > _REFUSALS_IN_MESSAGE:
        lines.append(f"\n  ... and {len(refused) - _REFUSALS_IN_MESSAGE} more")
    journal = plan.paths.journal
    kept = f"\nThe other {judged} samples are judged and in {journal}; mend these and run the same again"
    return InputError(
        f"{len(refused)} samples were refused:{''.join(lines)}{kept}", file=config.samples or config.dataset
    )


def _references(plan: Plan, ledger: Ledger) -> References | None:
    """Returns how the reference solutions did; None when none ran beside the samples."""
    results = [ledger.results[item.sample_id] for item in plan.references]
    if not results:
        return None
    judged = [result for result in results if not result.is_sandbox_error]
    return References(len(judged), [result.task_id for result in judged if not result.compat_passed])


def _write(config: Config, plan: Plan, journal: Journal, summary: Summary, references: References | None) -> None:
    """Writes the result files."""

    def rows() -> Iterator[Row]:
        for item in plan.scored:
            completion = item.completion
            outcome = journal.outcome(item.sample_id)
            result = result_of(item.sample_id, completion.task_id, completion.index, outcome)
            yield Row(result, plan.sample(item).solution)

    record = pass_at_k_record(
        {k: score.value for k, score in summary.compat.items()},
        stem=plan.paths.stem,
        split=config.split,
        subset=config.subset,
        calibrated=config.calibrated,
        failed_references=None if references is None else references.failed,
        references=0 if references is None else references.judged,
    )
    passing = writing_outcomes(plan.paths.outcomes, rows())
    write_eval_results(plan.paths.eval_results, passing, datetime.now().astimezone())
    write_pass_at_k(plan.paths.pass_at_k, record)
