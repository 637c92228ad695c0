"""The harness: runs a sample in the process that was started for it, inside the cell, and reports.

Belongs here: everything between "the walls stand" and the end of the sample's process. What it reports is
the word of a process that the sample shares; `report`, which reads it on the other side, believes only its
form. Call `prepare` before forking: nothing is imported for a sample's sake.
"""

from __future__ import annotations

import importlib
import random
import sys
from typing import Any, Callable, Dict, NoReturn

from . import faults, function_check, pristine, rehearsal, script
from .channel import Channel

__builtins__ = pristine.BUILTINS

_KINDS: Dict[str, Callable[[Dict[str, Any], Channel], int]] = {
    "script": script.run,
    "stdio": script.run,
    "function_check": function_check.run,
}


def prepare(*, framework: bool) -> None:
    """Gets a zygote ready for the samples that will be forked from it.

    Args:
        framework: Whether tests of unittest will be run. It takes up a quarter of a lean zygote, and each page of a
            zygote costs every process that is forked from it.
    """
    rehearsal.rehearse(function_check.run, rehearsal.CHECKED)
    if framework:
        unittest_kind = importlib.import_module(__name__ + ".unittest_kind")
        _KINDS["unittest"] = unittest_kind.run
        rehearsal.rehearse(unittest_kind.run, rehearsal.TESTED)
        sys.modules.pop(unittest_kind.MODULE, None)


def enter(kind: str, program: Dict[str, Any], channel_fd: int, seed: int) -> NoReturn:
    """Runs a sample and ends the process.

    Descriptors 0, 1 and 2, the working directory and the environment are as the sample shall find them.

    Args:
        kind: The task kind.
        program: What `docs/agent-protocol.md` lists for this kind.
        channel_fd: A SOCK_SEQPACKET socket to the cell's supervisor.
        seed: Seeds `random`, and numpy's global generator where numpy is already imported.
    """
    code = 1
    try:
        code = _run(kind, program, channel_fd, seed)
    finally:
        _leave(code)


def _run(kind: str, program: Dict[str, Any], channel_fd: int, seed: int) -> int:
    channel = Channel(channel_fd)
    try:
        _seed(seed)
        return _KINDS[kind](program, channel)
    except BaseException as error:
        # Raised into the harness's own code: by a signal handler of the sample, by its depth of recursion, or
        # because it took the channel away; then nobody can be told, which the supervisor sees.
        pristine.allow_recursion()
        channel.send({"error": faults.describe(error, {})})
        return 1


def _leave(code: int) -> NoReturn:
    """Ends the process, even if signal handlers of the sample raise: nothing may run after `enter`."""
    while True:
        try:
            while True:
                try:
                    pristine.block_signals()
                    pristine.exit_now(code)
                except BaseException:  # noqa: S112  # raised by a handler; nobody is left to hear it
                    continue
        except BaseException:  # noqa: S112  # raised while the inner one was handled
            continue


def _seed(seed: int) -> None:
    random.seed(seed)
    numpy_random: Any = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed(seed & 0xFFFFFFFF)
