"""Why a build failed, in a few lines for people. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_MAXIMUM_LINES = 6
_MAXIMUM_LINE = 300
_CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")
# What pip and apt put before a line that says what is wrong.
_MARKED = re.compile(r"^(?:ERROR|E|error|Error): ?|^(?:CMake|fatal|gcc|cc) ?.*error")
_ENGINE = re.compile(r"--->|Removing intermediate container|Step \d+/\d+ ")
_NO_NETWORK = re.compile(
    r"Temporary failure (?:in name resolution|resolving)|Name or service not known|Network is unreachable"
    r"|failed to create endpoint|could not find bridge"
    r"|Could not resolve|Failed to establish a new connection|NewConnectionError|NameResolutionError"
)
_NO_TRUST = re.compile(r"CERTIFICATE_VERIFY_FAILED|certificate verify failed|SSLCertVerificationError")
_DISK_FULL = re.compile(r"No space left on device")


def explain(message: str, lines: Sequence[str]) -> str:
    """Returns what went wrong and, where that is known, what to do.

    Args:
        message: The engine's own words.
        lines: What the step wrote last.
    """
    plain = [_CONTROL.sub("", line).strip()[:_MAXIMUM_LINE] for line in lines]
    marked = [line for line in plain if _MARKED.search(line)]
    told = marked[-_MAXIMUM_LINES:] or [line for line in plain if line and not _ENGINE.match(line)][-_MAXIMUM_LINES:]
    # Without an own line: the instruction that failed, which is long, and says nothing that pip did not.
    if not told:
        told = [_CONTROL.sub("", message)[:_MAXIMUM_LINE]]
    advice = _advice("\n".join([message, *plain]))
    return "\n".join([*dict.fromkeys(told), *([advice] if advice else [])])


def _advice(text: str) -> str:
    if _NO_TRUST.search(text):
        return (
            "The index's certificate is not trusted inside the build: name your CA certificates with --ca-bundle FILE."
        )
    if _NO_NETWORK.search(text):
        return "The build has no way to the network: try --network host, or name an index with PIP_INDEX_URL."
    if _DISK_FULL.search(text):
        return (
            "The engine's disk is full: `docker system df` shows what takes the room, `docker image prune` frees some."
        )
    return ""
