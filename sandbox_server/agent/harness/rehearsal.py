"""Runs a made-up sample some times in the zygote, so that every process forked from it finds the way trodden.

What runs for the first time writes to memory: the interpreter rewrites bytecode into faster forms, fills its
caches of attributes, asks for memory. In a forked process each page written to is copied, for every sample anew.
"""

from __future__ import annotations

import socket
import struct
import sys
from typing import Any, Callable, Dict, List

from . import channel, pristine

# CPython rewrites a function's code from the eighth call on, and each place in it some calls later.
_TIMES = 16
_MODULE = "__rehearsal__"
_SOLUTION = "from typing import List\n\n\ndef rehearsed(numbers: List[int]) -> int:\n    return sum(numbers) + 1\n"
_CHECK = "def check(candidate):\n    assert candidate([1, 2]) == 4\n"
_TESTS = (
    "import unittest\n\n\nclass TestCases(unittest.TestCase):\n"
    "    def test_it(self):\n        self.assertEqual(rehearsed([1, 2]), 4)\n"
)
CHECKED = {"check": _CHECK, "assertions": []}
"""The made-up sample's tests, for `function_check`."""
TESTED = {"source": _TESTS, "class_name": "TestCases"}
"""The same, for `unittest`."""
_Kind = Callable[[Dict[str, Any], channel.Channel], int]


def rehearse(kind: _Kind, tests: Dict[str, Any]) -> None:
    """Rehearses a kind that is judged by tests; leaves what a sample can see as it was.

    Raises:
        RuntimeError: The made-up sample did not pass: this harness cannot judge anything.
    """
    main, argv = sys.modules["__main__"], sys.argv
    streams = sys.stdin, sys.stdout, sys.stderr
    try:
        for _ in range(_TIMES):
            said = _rehearse_once(kind, tests)
            if not any("done" in message for message in said):
                raise RuntimeError("the harness does not pass its own sample: %s" % said)
    finally:
        sys.modules["__main__"], sys.argv = main, argv
        sys.modules.pop(_MODULE, None)
        sys.stdin, sys.stdout, sys.stderr = streams


def _rehearse_once(kind: _Kind, tests: Dict[str, Any]) -> List[Dict[str, Any]]:
    """Runs the sample; returns what it reported."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        answer = pristine.to_json({"nonce": "0" * 32, "tests": tests})
        ours.sendall(struct.pack(">I", len(answer)) + answer)
        kind(
            {"solution": _SOLUTION, "entry_point": "rehearsed", "module_name": _MODULE},
            channel.Channel(theirs.fileno()),
        )
        theirs.shutdown(socket.SHUT_WR)
        said: List[Dict[str, Any]] = []
        while True:
            data = ours.recv(channel.MAXIMUM_MESSAGE_BYTES)
            if not data:
                return said
            said.append(pristine.from_json(data))
