"""A dataset's environment is asked for where a server has it, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.config import load_config
from orchestrator.errors import NoSandboxError
from orchestrator.formats.results import ResultPaths
from orchestrator.journal import Entry, open_journal, sample_digest
from orchestrator.ledger import Ledger
from orchestrator.model import Completion, Problem, Sample, ScriptTask
from orchestrator.plan import Item, Plan
from orchestrator.progress import Silence
from orchestrator.session import Session
from tests.unit.orchestrator.rote_server import RoteServer, passed

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from cupel_client.gen import sandbox_service_pb2 as pb

    from orchestrator.dispatch.endpoints import Endpoint

    Serve = Callable[[RoteServer], contextlib.AbstractAsyncContextManager[Endpoint]]


class Meant:
    """A dataset of one problem for each environment that a row may name; meant for "science"."""

    name = "meant"
    environment = "science"
    problems: Mapping[str, Problem] = {}

    def sample(self, completion: Completion) -> Sample:
        own = completion.text
        return Sample(completion.sample_id, completion.task_id, 0, ScriptTask("pass"), "pass", environment=own)

    def reference(self, task_id: str) -> Completion:
        raise KeyError(task_id)


class Said(Silence):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


async def asked_of(
    serve: Serve, folder: Path, has: tuple[str, ...], own: str = "", named: str = ""
) -> tuple[str, Said]:
    """Returns the environment that a server was asked for, and what the user was told."""
    asked: list[str] = []

    def answer(sample: pb.Sample) -> list[pb.ExecuteResponse]:
        asked.append(sample.environment)
        return [passed(sample)]

    said = Said()
    async with serve(RoteServer(answer=answer, environments=has)) as endpoint:
        settings = load_config({"sandbox": endpoint.target, "runtime": "auto", "environment": named})
        item = Item(Completion("T/1", 0, own, is_solution=True))
        plan = Plan(Meant(), [item], settings, ResultPaths.of("demo", folder))
        with open_journal(folder / f"{named}_journal") as journal:
            journal.read(plan.identity(), lambda _: True)
            session = Session(settings, plan, journal, Ledger(), progress=said, child=None)
            assert await session._dispatch([item]) == []
        kept: list[str] = []

        def take(entry: Entry) -> bool:
            kept.append(entry.digest)
            return True

        with open_journal(folder / f"{named}_journal") as journal:
            journal.read(plan.identity(), take)
    # What servers have is not the sample's: the same command finds its outcome in the journal.
    assert kept == [sample_digest(plan.sample(item))]
    return asked[0], said


async def test_the_datasets_environment_is_asked_for_where_a_server_has_it(serve: Serve, tmp_path: Path) -> None:
    asked, said = await asked_of(serve, tmp_path, ("local", "science"))
    assert (asked, said.lines) == ("science", [])


async def test_without_it_the_choice_is_the_servers_and_the_user_is_told(serve: Serve, tmp_path: Path) -> None:
    asked, said = await asked_of(serve, tmp_path, ("local",))
    assert asked == ""
    assert len(said.lines) == 1
    assert "'science'" in said.lines[0]
    assert "imports" in said.lines[0]


async def test_a_rows_own_environment_is_nobody_elses_choice(serve: Serve, tmp_path: Path) -> None:
    assert (await asked_of(serve, tmp_path, ("local", "science"), own="local"))[0] == "local"


async def test_the_user_decides_before_the_dataset(serve: Serve, tmp_path: Path) -> None:
    asked, said = await asked_of(serve, tmp_path, ("local", "science"), named="local")
    assert (asked, said.lines) == ("local", [])
    with pytest.raises(NoSandboxError, match="no sandbox server has 'moon'; there are: local, science") as caught:
        await asked_of(serve, tmp_path, ("local", "science"), named="moon")
    assert caught.value.exit_code == 4
