"""What the harness uses after a sample was loaded, referenced before any sample existed.

A sample may replace anything that can be reached by name: `len`, `os.write`, `json.dumps`, the clock. So
the harness calls nothing by a public name that decides what it reports. Each module that runs beside a
sample sets `__builtins__ = BUILTINS` above its first function: Python then looks up its `len`, `isinstance`
and the like in this private copy. It keeps honest reports honest; it is no wall, since all of this is
memory of the sample's process.
"""

from __future__ import annotations

import builtins
import json
import json.decoder
import json.encoder
import os
import signal
import sys
import time
from typing import Any, Callable, FrozenSet, Tuple

# Any, because the type checker takes the name `__builtins__` for a module.
BUILTINS: Any = dict(vars(builtins))
__builtins__ = BUILTINS


def _refuse(value: object) -> object:
    raise TypeError("cannot report a %s" % type(value).__name__)


# The C encoder and scanner themselves, since the classes look up their parts by name on every call. Written
# as ASCII, lone surrogates survive. Any, because the stubs leave these out.
_encoder: Any = json.encoder
_chunks: Callable[[Any, int], Tuple[str, ...]] = _encoder.c_make_encoder(
    None, _refuse, _encoder.encode_basestring_ascii, None, ":", ",", False, False, False
)
_decoder: Any = json.decoder.JSONDecoder()
_scan = _decoder.scan_once

read = os.read
write = os.write
get_pid = os.getpid
exit_now = os._exit
get_trace = sys.gettrace
get_profile = sys.getprofile
_get_recursion_limit = sys.getrecursionlimit
_set_recursion_limit = sys.setrecursionlimit
_LEAST_RECURSION = 500


def clock(_tick: Callable[[], float] = time.perf_counter) -> float:
    """Returns seconds of the real clock: libraries that replace every clock they find do not look here."""
    return _tick()


def block_signals(
    _mask: Callable[..., object] = signal.pthread_sigmask,
    _how: int = signal.SIG_BLOCK,
    _all: FrozenSet[int] = frozenset(signal.valid_signals()),
) -> None:
    """Keeps signal handlers from running."""
    _mask(_how, _all)


def allow_recursion() -> None:
    """Makes sure that a sample's low recursion limit does not keep the harness from saying so."""
    _set_recursion_limit(max(_LEAST_RECURSION, _get_recursion_limit()))


def to_json(value: Any) -> bytes:
    """Returns plain data as JSON, in ASCII."""
    return "".join(_chunks(value, 0)).encode("ascii")


def from_json(data: bytes) -> Any:
    """Returns the plain data of JSON text that the supervisor sent."""
    value, _ = _scan(data.decode("utf-8"), 0)
    return value
