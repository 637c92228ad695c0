"""What a finished run looks like: a table for people, an object for scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich import box
from rich.markup import escape
from rich.table import Table

from orchestrator.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from orchestrator.run import Report
    from orchestrator.scoring import Score

_DIFFERENCES_SHOWN = 10
_NAMES_SHOWN = 10
_REASON_CHARACTERS = 120


def as_json(report: Report) -> dict[str, Any]:
    """Returns the object that `--json` prints; its keys are fixed."""
    summary = report.summary
    return {
        "pass_at_k": {
            "compat": {str(k): score.value for k, score in summary.compat.items()},
            "strict": {str(k): score.value for k, score in summary.strict.items()},
        },
        "n_problems": summary.num_problems,
        "n_samples": summary.num_samples,
        "verdicts": dict(summary.verdicts),
        "wall_s": round(report.wall_s, 3),
    }


def print_report(console: Console, report: Report) -> None:
    """Prints scores, counts, and everything that a reader of the scores should know."""
    console.print(_scores(report))
    console.print(_verdicts(report))
    for line in _remarks(report):
        console.print(escape(printable(line, 1000)), highlight=False, soft_wrap=True)


def _scores(report: Report) -> Table:
    """Returns pass@k in both views."""
    summary = report.summary
    table = Table(box=box.SIMPLE_HEAD, title="Scores with 95 % intervals", title_justify="left")
    table.add_column("")
    table.add_column("compat", justify="right")
    table.add_column("strict", justify="right")
    for k, score in summary.compat.items():
        table.add_row(f"pass@{k}", _score(score), _score(summary.strict[k]))
    return table


def _score(score: Score) -> str:
    """Returns a score in per cent with its interval."""
    return f"{100 * score.value:.1f} % ({100 * score.low:.1f} to {100 * score.high:.1f})"


def _verdicts(report: Report) -> Table:
    """Returns the count of each verdict."""
    table = Table(box=box.SIMPLE_HEAD, title="Verdicts", title_justify="left")
    table.add_column("verdict")
    table.add_column("samples", justify="right")
    for verdict, count in report.summary.verdicts.items():
        table.add_row(verdict, str(count))
    return table


def _remarks(report: Report) -> Iterator[str]:
    """Gives what else there is to know, a line each."""
    summary = report.summary
    if summary.left_out:
        left_out = ", ".join(f"pass@{k}" for k in summary.left_out)
        yield f"left out: {left_out}: {next(iter(summary.left_out.values()))}"
    yield from _differences(report)
    if summary.masked:
        yield (
            f"SANDBOX_ERROR: the sandbox failed at {len(summary.masked)} samples ({_some(summary.masked)}); "
            "they count in no score. The same command tries them again"
        )
    if summary.unscored_problems:
        yield f"without any judged sample: {_some(summary.unscored_problems)}; they count in no score"
    if report.references is not None:
        references = report.references
        passed = references.judged - len(references.failed)
        failed = f"; not: {_some(references.failed)}" if references.failed else ""
        yield f"reference solutions: {passed} of {references.judged} pass{failed}"
    for wall, count in report.missing_walls.items():
        yield f"WALL MISSING: {wall}, for {count} samples (cupel-sandbox doctor tells why)"
    if len(report.environments) > 1:
        yield f"samples ran in {len(report.environments)} environments: {_some(tuple(report.environments))}"
    before = summary.num_samples - report.fresh_scored
    resumed = f", {before} of them judged before" if before else ""
    rate = f", {report.fresh / report.wall_s:.1f} samples/s" if report.fresh and report.wall_s > 0 else ""
    counts = f"{summary.num_samples} samples of {summary.num_problems} problems"
    yield f"{counts}{resumed}: {report.wall_s:.1f} s{rate}"
    yield f"results: {report.paths.eval_results}, {report.paths.pass_at_k}, {report.paths.outcomes}"


def _differences(report: Report) -> Iterator[str]:
    """Gives the samples that pass in one view alone, and why."""
    differences = report.summary.differences
    if not differences:
        return
    lenient = sum(difference.compat_passed for difference in differences)
    counts = [f"{lenient} pass in compat alone"] if lenient else []
    counts += [f"{len(differences) - lenient} in strict alone"] if len(differences) > lenient else []
    samples = "1 sample" if len(differences) == 1 else f"{len(differences)} samples"
    yield f"the views differ in {samples} ({', '.join(counts)}):"
    for difference in differences[:_DIFFERENCES_SHOWN]:
        reasons = printable("; ".join(difference.reasons), _REASON_CHARACTERS)
        yield f"  {difference.sample_id}: {difference.verdict}: {reasons}"
    if len(differences) > _DIFFERENCES_SHOWN:
        yield f"  and {len(differences) - _DIFFERENCES_SHOWN} more, in {report.paths.outcomes}"


def _some(names: tuple[str, ...] | list[str]) -> str:
    """Returns the first few names."""
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more
