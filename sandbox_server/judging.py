"""One sample's way through the server: screened, placed, run, judged.

Belongs here: the order of the steps, the stamps between them, and what becomes of a sample when the server's
side fails. How each step works is elsewhere; nothing here knows gRPC.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from sandbox_server.errors import WorkerLostError
from sandbox_server.model import Facts, Outcome, SandboxFault, Screening, Timeline
from sandbox_server.verdict import before_run, judge

if TYPE_CHECKING:
    from collections.abc import Hashable

    from sandbox_server.model import Environment, Judgement, Sample
    from sandbox_server.runtimes.base import OnActivity, Runtime
    from sandbox_server.screener import Screener
    from sandbox_server.slots import Slot, Slots

NOT_SCREENED = Screening(None, entry_point_found=True, findings=(), declared_tests=None)
_RUNS = 2

_log = structlog.get_logger(__name__)


class Judging:
    """Turns samples into outcomes.

    Args:
        runtime: What runs them.
        screener: What screens them.
        slots: What bounds how many run at once.
    """

    def __init__(self, runtime: Runtime, screener: Screener, slots: Slots) -> None:
        self._runtime = runtime
        self._screener = screener
        self._slots = slots

    async def outcome(
        self, sample: Sample, received_ns: int, stream: Hashable, on_activity: OnActivity | None = None
    ) -> Outcome:
        """Judges a sample. A failure of the server's own is an outcome too: SANDBOX_ERROR, with its fault.

        Args:
            sample: What to judge.
            received_ns: When its request was read, in nanoseconds since the epoch.
            stream: Whose turns it takes.
            on_activity: Called with whether the sample sleeps, each time that this changes. A sample that ends in
                its sleep wakes up first.

        Raises:
            asyncio.CancelledError: The caller was cancelled; the cell is dead.
        """
        timeline = Timeline(received_ns=received_ns)
        screening = NOT_SCREENED
        try:
            sample, screening = await self._screener.screen(sample)
            timeline = replace(timeline, screened_ns=time.time_ns())
            judgement = before_run(sample.task, sample.policy, screening)
            if judgement is not None:
                return self._outcome(sample, Facts(), judgement, screening, timeline)
            async with self._slots.one(stream, sample.priority) as slot:
                facts, placed_ns, runs = await self._run(sample, _Parking(slot, on_activity))
            ran = facts.timeline
            timeline = replace(
                timeline,
                placed_ns=placed_ns,
                forked_ns=ran.forked_ns,
                started_ns=ran.started_ns,
                ended_ns=ran.ended_ns,
            )
            judgement = judge(sample.task, sample.limits, screening, facts, self._environment(sample))
            if runs > 1:
                again = f"(Run {runs}: the worker was lost under the run before.)"
                judgement = replace(judgement, explanation=f"{judgement.explanation} {again}")
            outcome = self._outcome(sample, facts, judgement, screening, timeline)
        except WorkerLostError as error:
            reason = error.reason if self._runtime.serving else "WORKERS_LOST"
            return self._failed(sample, SandboxFault(reason, str(error)), screening, timeline)
        except Exception as error:  # noqa: BLE001 -- logged with its trace, and answered as SANDBOX_ERROR
            # A fault in the server must cost one sample and not its stream. It is in the log, and it is not a
            # verdict.
            _log.exception("sample_failed", sample_id=sample.sample_id, attempt=sample.attempt)
            fault = SandboxFault("INTERNAL", f"{type(error).__name__} in the server; its log tells more")
            return self._failed(sample, fault, screening, timeline)
        _log.debug(
            "judged",
            sample_id=sample.sample_id,
            attempt=sample.attempt,
            verdict=judgement.verdict.name,
            runs=runs,
        )
        if facts.sandbox_fault is not None:
            self._log_fault(sample, facts.sandbox_fault)
        return outcome

    def cancelled(self, sample: Sample, received_ns: int) -> Outcome:
        """Returns the outcome of a sample whose client asked to stop it."""
        facts = Facts(cancelled=True)
        judgement = judge(sample.task, sample.limits, NOT_SCREENED, facts)
        return self._outcome(sample, facts, judgement, NOT_SCREENED, Timeline(received_ns=received_ns))

    async def _run(self, sample: Sample, parking: _Parking) -> tuple[Facts, int, int]:
        """Runs a sample, again if the worker dies under it; returns facts, the last placing, and the runs."""
        run = 0
        while True:
            run += 1
            placed_ns = time.time_ns()
            try:
                return await self._runtime.run(sample, parking.note), placed_ns, run
            except WorkerLostError as error:
                # What a sample does stays in its cell, so another run is a first run.
                if run >= _RUNS or not self._runtime.serving:
                    raise
                _log.warning("rerun", sample_id=sample.sample_id, attempt=sample.attempt, reason=str(error))
            finally:
                parking.end()

    def _failed(self, sample: Sample, fault: SandboxFault, screening: Screening, timeline: Timeline) -> Outcome:
        self._log_fault(sample, fault)
        facts = Facts(sandbox_fault=fault)
        judgement = judge(sample.task, sample.limits, screening, facts)
        return self._outcome(sample, facts, judgement, screening, timeline)

    def _log_fault(self, sample: Sample, fault: SandboxFault) -> None:
        _log.warning(
            "sandbox_error",
            sample_id=sample.sample_id,
            attempt=sample.attempt,
            reason=fault.reason,
            message=fault.message,
        )

    def _outcome(
        self, sample: Sample, facts: Facts, judgement: Judgement, screening: Screening, timeline: Timeline
    ) -> Outcome:
        environment = self._environment(sample)
        _, walls = self._runtime.describe()
        return Outcome(
            sample_id=sample.sample_id,
            attempt=sample.attempt,
            facts=facts,
            judgement=judgement,
            findings=screening.findings,
            limits=sample.limits,
            timeline=timeline,
            environment=sample.environment,
            environment_digest=environment.digest if environment else "",
            isolation=f"{self._runtime.name}/{sample.isolation.name.lower()}",
            missing_walls=tuple(wall.name for wall in walls if not wall.standing),
        )

    def _environment(self, sample: Sample) -> Environment | None:
        environments, _ = self._runtime.describe()
        return next((known for known in environments if known.name == sample.environment), None)


class _Parking:
    """Parks the slot of one sample while it sleeps, and tells who asked for it."""

    def __init__(self, slot: Slot, told: OnActivity | None) -> None:
        self._slot = slot
        self._told = told

    def note(self, asleep: bool) -> None:  # noqa: FBT001 -- the form of OnActivity
        """Takes what the runtime says of the sample's cell."""
        if asleep == self._slot.parked:
            return
        if self._told is not None:
            self._told(asleep)
        if asleep:
            self._slot.park()
        else:
            self._slot.unpark()

    def end(self) -> None:
        """Notes that the cell is gone."""
        self.note(asleep=False)
