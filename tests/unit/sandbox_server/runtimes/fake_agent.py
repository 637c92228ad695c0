"""An agent that runs nothing: it speaks the protocol, and breaks it on demand.

What it does with a sample is the first word of the sample's source. `hello.hidden` tells how it starts.
"""

import base64
import json
import os
import struct
import sys
from pathlib import Path
from typing import Any


def send(message: Any) -> None:
    body = json.dumps(message).encode()
    sys.stdout.buffer.write(struct.pack(">I", len(body)) + body)
    sys.stdout.buffer.flush()


def receive() -> Any:
    header = sys.stdin.buffer.read(4)
    if len(header) < 4:
        sys.exit(0)
    return json.loads(sys.stdin.buffer.read(struct.unpack(">I", header)[0]))


def facts(cell: Any, **changes: Any) -> Any:
    output = {
        "head_b64": base64.b64encode(str(os.getpid()).encode()).decode(),
        "tail_b64": "",
        "total_bytes": 20,
    }
    empty = {"head_b64": "", "tail_b64": "", "total_bytes": 0}
    return {
        "op": "facts",
        "cell": cell,
        "stage": "complete",
        "exit_code": 0,
        "exit_signal": None,
        "limit": None,
        "refused_resources": [],
        "error": None,
        "reported_tests": None,
        "results": [],
        "tampering": [],
        "cancelled": False,
        "stdout": output,
        "stderr": empty,
        "usage": {
            "cpu_user_s": 0.1,
            "cpu_system_s": 0.05,
            "wall_s": 0.2,
            "peak_memory_bytes": 1000,
            "memory_source": "sampled",
            "peak_processes": 1,
        },
        "files": [],
        "timeline": {"forked_us": 10, "started_us": 20, "ended_us": 30},
        "sandbox_fault": None,
        **changes,
    }


def start() -> Any:
    hello = receive()
    wishes = hello["hidden"]
    if "fail" in wishes:
        send({"op": "failed", "reason": "WALL_MISSING", "message": "no user namespaces here"})
        sys.exit(1)
    if "mumble" in wishes:
        sys.stderr.write("my last \x1b[31mwords\n")
        sys.exit(3)
    walls = [{"name": "network_namespace", "standing": "no-network" not in wishes, "detail": "as asked"}]
    send(
        {
            "op": "ready",
            "python": "3.11.7",
            "digest": json.dumps(dict(os.environ), sort_keys=True)[:4000],
            "profiles": sorted(hello["profiles"]),
            "walls": walls,
            "memory_source": "sampled",
        }
    )
    return wishes


def obey(message: Any) -> None:  # noqa: C901, PLR0912 -- a list of misdeeds
    cell = message["cell"]
    if message["op"] == "parse":
        fault = {"message": "bad", "line": 3, "column": 1} if "bad" in message["source"] else None
        send({"op": "parsed", "cell": cell, "fault": fault})
        return
    if message["op"] == "cancel":
        if cell not in deaf:
            send(facts(cell, cancelled=True, stage="loading", exit_code=None, exit_signal=9))
        return
    word, _, rest = message["spec"]["program"]["source"].partition(" ")
    if word == "ok":
        send(facts(cell))
    elif word == "profile":
        send(facts(cell, tampering=[message["spec"]["profile"]]))
    elif word == "crash":
        os._exit(1)
    elif word == "crash_once" and not Path(rest).exists():
        Path(rest).touch()
        os._exit(1)
    elif word == "garbage":
        sys.stdout.buffer.write(struct.pack(">I", 5) + b"\xff\xfe{]!")
        sys.stdout.buffer.flush()
    elif word == "oversize":
        sys.stdout.buffer.write(struct.pack(">I", (16 << 20) + 1))
        sys.stdout.buffer.flush()
    elif word == "stranger":
        send(facts(cell + 1000))
    elif word == "forged":
        send(facts(cell, exit_code=10**30))
    elif word == "anomaly":
        send({"op": "anomaly", "message": "a ghost in the cell"})
        send(facts(cell))
    elif word == "surrogate":
        send(
            facts(
                cell,
                error={
                    "type_name": "E",
                    "message": "\ud800",
                    "traceback": "",
                    "missing_module": "",
                    "kind": "error",
                },
            )
        )
    elif word == "deaf":
        deaf.add(cell)
    elif word == "slow":
        pass
    else:
        send(facts(cell))


deaf: set[int] = set()
start()
while True:
    request = receive()
    if request["op"] == "stop":
        sys.exit(0)
    obey(request)
