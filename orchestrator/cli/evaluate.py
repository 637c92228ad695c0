"""`cupel evaluate`: options, exit codes, and what is printed where.

Scores go to standard output, everything else to standard error. With `--json` standard output holds one JSON
object and nothing else; the table then goes to standard error.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from orchestrator.datasets import names
from orchestrator.errors import CupelError, InterruptedRunError
from orchestrator.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable

_HELP = """Judges samples and scores them.

Each sample runs in a container of its own, on the sandbox servers that --sandbox names, or on one that is
started for the run. Results are journaled as they arrive: the same command continues an interrupted run.

Every problem must have a sample, else the score would not be the dataset's; --partial, --only-tasks and
--id-range score the problems that have some.
"""
_EPILOG = (
    "Every option can also be set by a variable: CUPEL_PARALLEL=8 for --parallel 8. "
    "Exit codes: 0 done; 2 usage; 3 bad samples or dataset; 4 no sandbox; "
    "5 finished with samples that stayed SANDBOX_ERROR; 130 interrupted, journal kept."
)


class Failure(click.ClickException):
    """Ends the command with an error's message and exit code."""

    def __init__(self, error: CupelError) -> None:
        super().__init__("\n".join(printable(line, 2000) for line in str(error).splitlines()))
        self.exit_code = error.exit_code  # type: ignore[misc] # click reads it from the instance

    def show(self, file: Any = None) -> None:
        """Prints the message to standard error."""
        click.echo(f"cupel: {self.format_message()}", file=file, err=True)


def _option(*names_: str, **attributes: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Returns an option that is None when it is not given, so that variables and defaults can stand in."""
    return click.option(*names_, default=None, **attributes)


@click.command(name="evaluate", help=_HELP, epilog=_EPILOG)
@_option(
    "--samples",
    metavar="FILE|DIR",
    help="Samples: JSONL (may be gzipped), or a folder TASK/N.py. The demo has its own.",
)
@_option("--dataset", type=click.Choice(sorted(names())), help="Dataset. [default: demo]")
@_option("--data", metavar="FILE", help="The dataset as JSONL (may be gzipped) in its own columns.")
@_option(
    "--split",
    type=click.Choice(["complete", "instruct"]),
    help="BigCodeBench: which prompt. [default: complete]",
)
@_option("--subset", type=click.Choice(["full", "hard"]), help="BigCodeBench: which problems. [default: full]")
@_option(
    "--sandbox",
    metavar="ADDR[,ADDR...]",
    help="Sandbox servers: unix:PATH or host:port. Without, one is started.",
)
@_option(
    "--runtime",
    type=click.Choice(["auto", "docker", "local"]),
    help="Runtime of the server that is started; auto: docker if an engine with images answers. [default: auto]",
)
@_option(
    "--isolation",
    type=click.Choice(["cell", "container"]),
    help="What each sample gets of its own; container needs docker. [default: cell]",
)
@_option(
    "--environment",
    metavar="NAME",
    help="Environment to run in; without, the dataset's or the server's choice.",
)
@_option("--python", metavar="PATH", help="Interpreter of the started server's environment.")
@_option("--parallel", type=int, metavar="N", help="Samples at once; without, as many as the servers take.")
@_option("--pass-k", metavar="K[,K...]", help="The k of pass@k. [default: 1,5,10]")
@_option(
    "--calibrated/--no-calibrated",
    help="BigCodeBench: put the prompt's code before solutions. [default: yes]",
)
@_option("--only-tasks", metavar="IDS", help="Only these problems, by id or what follows its last slash.")
@_option("--id-range", metavar="A-B", help="Only problems A up to but not B, in the dataset's order, from 0.")
@_option("--partial", is_flag=True, flag_value=True, help="Score the problems that have samples, if not all have.")
@_option("--check-gt-only", is_flag=True, flag_value=True, help="Run the reference solutions instead of samples.")
@_option("--gt/--no-gt", help="Run the reference solutions too. [default: for bigcodebench, as its harness does]")
@_option("--seed", type=int, metavar="N", help="Seeds the random numbers of every sample. [default: 0]")
@_option(
    "--out",
    metavar="DIR",
    help="Folder for results. [default: beside the samples; ./results without samples]",
)
@_option(
    "--resume/--no-resume",
    help="Continue from the journal; --no-resume keeps old files as .bak. [default: yes]",
)
@_option(
    "--allow-weak-isolation",
    is_flag=True,
    flag_value=True,
    help="Run although walls are missing on this machine.",
)
@click.option("--json", "as_json_", is_flag=True, help="Print one JSON object to standard output.")
@click.option("--quiet", is_flag=True, help="No progress.")
@click.option("--print-config", is_flag=True, help="Print what would be done as JSON, and do nothing.")
def command(*, as_json_: bool, quiet: bool, print_config: bool, **options: Any) -> None:
    """Judges samples and scores them."""
    from orchestrator.cli import judging  # noqa: PLC0415 -- help does without what it imports

    try:
        config = judging.load_config(options)
        if print_config:
            click.echo(config.model_dump_json(indent=2))
            return
        exit_code = judging.judge(config, json=as_json_, quiet=quiet)
    except CupelError as error:
        raise Failure(error) from error
    except KeyboardInterrupt as error:
        raise Failure(InterruptedRunError("interrupted; the same command continues the run")) from error
    sys.exit(exit_code)
