"""Runs one command of a contest, and knows what it took: the time of the whole command, and its CPU time."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tests.performance.machine import load
from tests.performance.original import MeasurementError
from tests.performance.peers.account import OWN, Account
from tests.performance.peers.containers import ContainerTimes
from tests.performance.processes import RoleTimes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_TOLD_EACH_S = 60.0
_LONGEST_S = 2 * 3600.0
"""No contest takes that long: a command that does hangs."""
_TAIL_BYTES = 3000
_RESULTS = ("*_eval_results.json", "*_pass_at_k.json", "*_outcomes.jsonl")


@dataclass(frozen=True, slots=True)
class Cost:
    """What a command took.

    Attributes:
        wall_s: From its start to its end.
        results_s: From its start to when its result files were written. EvalPlus' command may stay for 20 s more.
        cpu_s: CPU time of all its processes, as far as it was seen; see docs/peers.md.
        containers_cpu_s: How much of it was used in containers.
        load_before: The machine's load over the last minute, before it began.
        load_after: The same when it had ended, its own doing included.
    """

    wall_s: float
    results_s: float
    cpu_s: float
    containers_cpu_s: float
    load_before: float
    load_after: float


def run_peer(
    command: Sequence[str], variables: Mapping[str, str], log: Path, result: Path, account: Account = OWN
) -> Cost:
    """Runs an original evaluator's command, in an empty folder of its own.

    Its CPU time is what the kernel accounts to it: its own, and that of all its descendants that were waited for.

    Args:
        command: Program and words.
        variables: Its environment variables.
        log: Where its output goes.
        result: The file that it leaves its verdicts in; removed before, since it would be loaded instead of made.
        account: Who runs it.

    Raises:
        MeasurementError: It failed, or left no verdicts.
    """
    result.unlink(missing_ok=True)
    # A short path: the sockets of multiprocessing's managers lie below it. What a sample has left running may write
    # to it while it is removed, which is no fault of the measurement.
    with tempfile.TemporaryDirectory(prefix="peer-", ignore_cleanup_errors=True) as folder:
        account.owns(Path(folder))
        before, began, began_at = load()[0], time.monotonic(), time.time()
        with _started(command, {**variables, "TMPDIR": folder}, log, folder, account) as process:
            # Not waited for yet: until then nobody else's group can have this number.
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            wall_s = time.monotonic() - began
            _kill(process.pid)  # what samples left running: BigCodeBench/205's pool stays when its evaluator ends
            # The only way to the CPU time of this child alone.
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
    _check(process, command, log, (0,))
    return Cost(wall_s, _until([result], began_at), usage.ru_utime + usage.ru_stime, 0.0, before, load()[0])


def run_cupel(command: Sequence[str], variables: Mapping[str, str], log: Path, out: Path, *, containers: bool) -> Cost:
    """Runs a command of Cupel's, which starts a sandbox server.

    Its CPU time is that of its processes, which on the local runtime are all there are; workers of the docker runtime
    are the engine's children, and theirs is what the kernel accounts to their containers.

    Args:
        command: Program and words.
        variables: Its environment variables.
        log: Where its output goes.
        out: Where its result files go.
        containers: Whether it has workers in containers.

    Raises:
        MeasurementError: It failed, or the time of its containers cannot be read.
    """
    before, began, began_at = load()[0], time.monotonic(), time.time()
    with _started(command, variables, log) as process, RoleTimes(process.pid) as roles:
        with ContainerTimes(process.pid) if containers else nullcontext() as workers:
            process.wait()
        wall_s = time.monotonic() - began
    _check(process, command, log, (0, 5))  # 5: some samples were not judged, which the contest tells
    containers_cpu_s = workers.seconds if workers is not None else 0.0
    results_s = _until([path for end in _RESULTS for path in out.glob(end)], began_at)
    return Cost(wall_s, results_s, sum(roles.seconds.values()) + containers_cpu_s, containers_cpu_s, before, load()[0])


def _until(results: Sequence[Path], began_at: float) -> float:
    """Returns the seconds until the last of these files was written."""
    try:
        return max(path.stat().st_mtime for path in results) - began_at
    except (FileNotFoundError, ValueError) as error:
        raise MeasurementError(f"a command ended well and left no results: {error}") from error


@contextmanager
def _started(
    command: Sequence[str],
    variables: Mapping[str, str],
    log: Path,
    folder: str | None = None,
    account: Account = OWN,
) -> Iterator[subprocess.Popen[bytes]]:
    """Starts a command in a session of its own, of which nothing is left when the block ends early or hangs."""
    with (
        log.open("wb") as out,
        subprocess.Popen(
            command,
            env=dict(variables),
            cwd=folder,
            stdin=subprocess.DEVNULL,  # one that asks whether to overwrite its results must fail, not wait
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **account.switches,
        ) as process,
    ):
        over = threading.Event()
        watching = threading.Thread(target=_watch, args=(process.pid, over), name="heartbeat", daemon=True)
        watching.start()
        try:
            yield process
        except BaseException:
            _kill(process.pid)
            raise
        finally:
            over.set()
            watching.join()


def _watch(process_id: int, over: threading.Event) -> None:
    """Says each minute that a command still runs, and kills one that hangs."""
    began = time.monotonic()
    while not over.wait(_TOLD_EACH_S):
        passed_s = time.monotonic() - began
        click.echo(f"    ... {passed_s:.0f} s; load {load()[0]:.2f}")
        if passed_s > _LONGEST_S:
            click.echo(f"    killed after {passed_s:.0f} s")
            _kill(process_id)


def _kill(process_id: int) -> None:
    try:
        os.killpg(process_id, signal.SIGKILL)
    except ProcessLookupError:
        return  # it ended by itself meanwhile


def _check(process: subprocess.Popen[bytes], command: Sequence[str], log: Path, good: tuple[int, ...]) -> None:
    if process.returncode not in good:
        said = log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace")
        raise MeasurementError(f"{' '.join(command)}: exit code {process.returncode}; it said ({log}):\n{said}")
