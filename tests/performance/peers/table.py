"""The table of all contests, from the figures in results/peers.json. Pure."""

from __future__ import annotations

import itertools
import statistics
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE
from rich.table import Table

from tests.performance import figures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HEADER = ("", "wall s", "ratio", "results after s", "ratio", "samples/s", "CPU s", "ratio", "passed", "differ")
LEGEND = (
    "Each ratio is the original's figure divided by that of the row: above 1, the original takes more. Samples/s is by "
    'wall time. "differ" counts verdicts that are not the original\'s. Several rounds: median (range).'
)
_MOST_DIFFERENCES = 40


def rows(contest: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Returns a contest's rows, one for each contestant, below `HEADER`. Several rounds: median (range)."""
    rounds = contest["rounds"]
    found: list[tuple[str, ...]] = []
    for name, title in contest["contestants"].items():
        walls = [one[name]["wall_s"] for one in rounds]
        found.append(
            (
                title,
                _spread(walls, 1),
                _ratio(rounds, name, "wall_s"),
                _spread([one[name]["results_s"] for one in rounds], 1),
                _ratio(rounds, name, "results_s"),
                _spread([contest["samples"] / wall for wall in walls], 1),
                _spread([one[name]["cpu_s"] for one in rounds], 1),
                _ratio(rounds, name, "cpu_s"),
                _counts([one[name]["passed"] for one in rounds]),
                "" if name == "peer" else _counts([len(one[name]["differences"]) for one in rounds]),
            )
        )
    return found


def caption(contest: Mapping[str, Any]) -> str:
    """Returns what a contest's rows are about."""
    taken, of = contest["problems"]
    part = f"{taken} problems" if taken == of else f"only {taken} of {of} problems, evenly spread"
    rounds = f"{len(contest['rounds'])} round{'s' if len(contest['rounds']) > 1 else ''}"
    if len(contest["rounds"]) < contest["rounds_wanted"]:
        rounds += f" of {contest['rounds_wanted']}"
    return f"{contest['title']}: {part}, {contest['samples']} samples, {rounds}"


def about(contest: Mapping[str, Any]) -> str:
    """Returns when and on what a contest ran, with which limits, and beside what."""
    loads = [one[name]["load_before"] for one in contest["rounds"] for name in contest["contestants"]]
    words = [f"{contest['at'][:10]}, {contest['machine']}; limits: {contest['limits']}; load before: {_range(loads)}"]
    if contest["note"]:
        words.append(contest["note"])
    return ". ".join(words) + "."


def unlike(contest: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Returns the samples of which two evaluators did not say the same in some round: sample, peer's word, others'."""
    seen: dict[str, dict[str, set[str]]] = {}
    for one in contest["rounds"]:
        for name in contest["contestants"]:
            for sample, peer, word in one[name].get("differences", ()):
                words = seen.setdefault(sample, {})
                words.setdefault("peer", set()).add(peer)
                words.setdefault(name, set()).add(word)
    return [
        (sample, *(" or ".join(sorted(words[name])) if name in words else "" for name in contest["contestants"]))
        for sample, words in seen.items()
    ]


def plain(contests: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns everything as text, for where there is no terminal."""
    head, *lines = figures.table(HEADER, [line for contest in contests.values() for line in rows(contest)]).splitlines()
    text, rest = [head], iter(lines)
    for contest in contests.values():
        text += [caption(contest), *itertools.islice(rest, len(contest["contestants"]))]
    for contest in contests.values():
        text.append(f"{contest['title']}: {about(contest)}")
        text += [f"  {'; '.join(_named(contest, line))}" for line in unlike(contest)[:_MOST_DIFFERENCES]]
        text += _left_out(contest)
    text.append(LEGEND)
    return "\n".join(text)


def for_terminal(contests: Mapping[str, Mapping[str, Any]]) -> Table:
    """Returns the table for a terminal, which has no room for ranges, nor for what each contest is about."""
    headers = (header.replace(" after", "\nafter").replace("/", "\n/") for header in HEADER)
    table = Table(*headers, title="The original evaluators and Cupel on the same samples", caption=LEGEND, box=SIMPLE)
    for column in table.columns[1:]:
        column.justify = "right"
        column.no_wrap = True
    for name, contest in contests.items():
        table.add_section()
        table.add_row(f"[bold]{name}")
        for title, *cells in rows(contest):
            table.add_row(title, *(cell.partition(" (")[0] for cell in cells))
    return table


def markdown(contests: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns everything as Markdown."""
    text = []
    for contest in contests.values():
        text += [f"### {caption(contest)}", about(contest), ""]
        text += _markdown_table(HEADER, rows(contest))
        differing = unlike(contest)
        if differing:
            header = ("verdicts that differ", *contest["contestants"].values())
            text += ["", *_markdown_table(header, differing[:_MOST_DIFFERENCES]), *_left_out(contest)]
        text.append("")
    text.append(LEGEND)
    return "\n".join(text)


def _markdown_table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    def row(cells: Sequence[str]) -> str:
        return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"

    return [row(header), "|" + " --- |" * len(header), *(row(line) for line in lines)]


def _named(contest: Mapping[str, Any], line: Sequence[str]) -> list[str]:
    pairs = zip(("", *contest["contestants"]), line, strict=True)
    return [f"{name}: {' '.join(word.split())}" if name else word for name, word in pairs if word]


def _left_out(contest: Mapping[str, Any]) -> list[str]:
    more = len(unlike(contest)) - _MOST_DIFFERENCES
    return [f"  and {more} more, which results/peers.json has"] if more > 0 else []


def _ratio(rounds: Sequence[Mapping[str, Any]], name: str, field: str) -> str:
    """Returns the original's figure divided by a contestant's, round by round: they ran one after the other."""
    return "1" if name == "peer" else _spread([one["peer"][field] / one[name][field] for one in rounds], 2)


def _spread(values: Sequence[float], digits: int) -> str:
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.1f} to {max(values):.1f}"


def _counts(values: Sequence[int]) -> str:
    return f"{values[0]:,}" if len(set(values)) == 1 else ", ".join(f"{value:,}" for value in values)
