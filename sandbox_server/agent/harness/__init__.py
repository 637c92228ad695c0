"""The harness: runs a sample in the process that was started for it, inside the cell, and reports.

Belongs here: everything between "the walls stand" and the end of the sample's process. What it reports is
the word of a process that the sample shares; `report`, which reads it on the other side, believes only its
form. Call `prepare` before forking: nothing is imported for a sample's sake.
"""

from __future__ import annotations

import importlib.util
import random
import sys
from types import CodeType, ModuleType
from typing import Any, Callable, Dict, NoReturn

from . import faults, function_check, pristine, rehearsal, script
from .channel import Channel

__builtins__ = pristine.BUILTINS

_KINDS: Dict[str, Callable[[Dict[str, Any], Channel], int]] = {
    "script": script.run,
    "stdio": script.run,
    "function_check": function_check.run,
}


def _code_of(name: str) -> CodeType:
    """Returns the code of a module of this package without executing it."""
    spec = importlib.util.find_spec("%s.%s" % (__name__, name))
    # Any, because a loader need not have code to give.
    loader: Any = spec.loader if spec is not None else None
    code: CodeType = loader.get_code("%s.%s" % (__name__, name))
    return code


# What needs unittest, in the order in which it is executed. Read now: a zygote no longer sees the agent's files.
_DEFERRED = [(name, _code_of(name)) for name in ("framework", "recorder", "unittest_kind")]


def prepare(*, framework: bool) -> None:
    """Gets a zygote ready for the samples that will be forked from it.

    Args:
        framework: Whether tests of unittest will be run. It takes up a quarter of a lean zygote, and each page of a
            zygote costs every process that is forked from it.
    """
    rehearsal.rehearse(function_check.run, rehearsal.CHECKED)
    if framework:
        if "unittest" not in _KINDS:
            _execute_deferred()
        rehearsal.rehearse(_KINDS["unittest"], rehearsal.TESTED)


def _execute_deferred() -> None:
    for name, code in _DEFERRED:
        full = "%s.%s" % (__name__, name)
        module = sys.modules[full] = ModuleType(full)
        module.__package__, module.__file__ = __name__, code.co_filename
        exec(code, vars(module))  # noqa: S102  # the harness's own
    _KINDS["unittest"] = sys.modules[__name__ + ".unittest_kind"].run


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
