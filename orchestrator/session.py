"""One session of a run: gets pending samples judged by servers, and into the journal.

Apart from `run`, which imports it when the embedded server's process has been started: what is imported here
(gRPC, the stubs) takes as long as a good part of the server's own boot.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import uvloop

from orchestrator.dispatch.dispatcher import Dispatcher
from orchestrator.dispatch.embedded import EmbeddedServer
from orchestrator.dispatch.endpoints import FixedEndpoints, parse_addresses, survey
from orchestrator.errors import InterruptedRunError, NoSandboxError
from orchestrator.interruption import Interruption
from orchestrator.journal import sample_digest
from orchestrator.ordering import longest_first

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from orchestrator.config import Config
    from orchestrator.dispatch.child import Child
    from orchestrator.dispatch.dispatcher import Refused
    from orchestrator.dispatch.endpoints import EndpointSource
    from orchestrator.journal import Journal
    from orchestrator.ledger import Ledger
    from orchestrator.model import Result, Sample
    from orchestrator.plan import Item, Plan
    from orchestrator.progress import RunProgress
    from orchestrator.wire import Capabilities


class Session:
    """Gets pending samples judged and journaled.

    Args:
        config: What the run is asked to do.
        plan: Its samples.
        journal: Where outcomes go first.
        ledger: What is known of judged samples.
        progress: Told of each result.
        child: The run's own server, started; None where the configuration names servers.
    """

    def __init__(
        self,
        config: Config,
        plan: Plan,
        journal: Journal,
        ledger: Ledger,
        *,
        progress: RunProgress,
        child: Child | None,
    ) -> None:
        self._config = config
        self._plan = plan
        self._journal = journal
        self._ledger = ledger
        self._progress = progress
        self._child = child
        self._digests: dict[str, str] = {}
        self._environment = ""

    def judge(self, pending: Sequence[Item]) -> list[Refused]:
        """Returns when all were answered; what servers refused is returned.

        Raises:
            errors.NoSandboxError: No server can be reached or started, or all were lost for good.
            errors.InterruptedRunError: The user stopped the run.
        """
        ordered = longest_first(pending, self._plan.sample)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(self._main(ordered))

    async def _main(self, pending: Sequence[Item]) -> list[Refused]:
        """Turns what ends a run early into an error that says how to go on."""
        with Interruption(self._progress.say) as interruption:
            try:
                return await self._dispatch(pending)
            except asyncio.CancelledError:
                if not interruption.happened:
                    raise
                raise InterruptedRunError(f"interrupted. {self._kept()}") from None
            except NoSandboxError as error:
                if not self._ledger.results:
                    raise
                raise NoSandboxError(f"{error}\n{self._kept()}") from error

    async def _dispatch(self, pending: Sequence[Item]) -> list[Refused]:
        """Opens servers, sends, receives, closes."""
        config = self._config
        source = self._source()
        try:
            endpoints = await source.open()
            answering = await survey(endpoints, config.environment)
            for endpoint in endpoints:
                if endpoint.address not in answering:
                    self._progress.say(f"sandbox server {endpoint.address} does not answer yet")
            self._environment = self._wished_environment(answering.values())
            # The embedded server is told its cells; to hold back its credit too would let them run dry.
            parallel = None if config.sandbox is None else config.parallel
            dispatcher = Dispatcher(source, self._samples(pending), self._deliver, parallel)
            return await dispatcher.run(endpoints)
        finally:
            await source.close()

    def _wished_environment(self, answering: Iterable[Capabilities]) -> str:
        """Returns the environment that the dataset is meant for, if a server has it."""
        wished = self._plan.wished_environment
        if not wished or any(wished in each.environments for each in answering):
            return wished
        self._progress.say(
            f"no sandbox server has the environment {wished!r}, which this dataset is meant for: "
            "servers choose by what each sample imports"
        )
        return ""

    def _samples(self, pending: Sequence[Item]) -> Iterator[Sample]:
        """Assembles one sample after the other, as servers take them."""
        for item in pending:
            sample = self._plan.sample(item)
            self._digests[sample.sample_id] = sample_digest(sample)
            # Not before: what servers happen to have must not make a journal's samples others.
            yield sample if sample.environment else replace(sample, environment=self._environment)

    def _deliver(self, result: Result) -> None:
        """Takes a result: into the journal first."""
        self._journal.append(result.sample_id, self._digests.pop(result.sample_id), result.outcome)
        self._ledger.enter(result)
        self._progress.note(result)

    def _source(self) -> EndpointSource:
        """Returns the servers that a configuration names, or the run's own."""
        config = self._config
        if self._child is not None:
            return EmbeddedServer(self._child, config.start_timeout_s)
        assert config.sandbox is not None, "a run without servers has one of its own"
        return FixedEndpoints(parse_addresses(config.sandbox), config.patience_s)

    def _kept(self) -> str:
        """Returns how much is done and how to go on."""
        done, total = len(self._ledger.results), len(self._plan.items)
        journal = self._journal.path
        return f"{done} of {total} samples are judged and in {journal}; the same command continues the run"
