"""Which walls stand, judged from what a probe inside a cell could and could not do. Pure."""

from __future__ import annotations

import os
from typing import Any, Dict, List, NamedTuple

from . import syscalls

_NAMES = (
    ("user", "user_namespace"), ("pid", "pid_namespace"), ("mnt", "mount_namespace"),
    ("net", "network_namespace"), ("ipc", "ipc_namespace"), ("uts", "uts_namespace"),
)  # fmt: skip


class Wall(NamedTuple):
    """One isolation mechanism, and whether it was seen to hold."""

    name: str
    standing: bool
    detail: str


def _source() -> str:
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "inside.py")
    with open(path, encoding="utf-8") as file:
        return file.read()


_PLANTED = 0x4375706C
"""The key of the semaphores that `plant` makes; `inside` has the same number."""
PROGRAM = _source()
"""What runs inside a cell. Read at import: the worker's root, once built, does not show the agent's files."""


def own_namespaces() -> Dict[str, int]:
    """Returns those of the caller's namespaces that this kernel shows, to compare with those of a cell."""
    found = {}
    for short, _ in _NAMES:
        try:
            found[short] = os.stat("/proc/self/ns/" + short).st_ino
        except FileNotFoundError:
            continue
    return found


def plant() -> int:
    """Makes a set of semaphores which `inside` looks for; returns its id."""
    return syscalls.make_semaphores(_PLANTED)


def unplant(number: int) -> None:
    """Removes what `plant` made."""
    syscalls.remove_semaphores(number)


def judge(
    seen: Dict[str, Any], own: Dict[str, int], limits: Dict[str, Any], outer_uid: int, memory: Wall
) -> List[Wall]:
    """Returns every wall.

    Args:
        seen: What the probe printed.
        own: The agent's namespaces.
        limits: The limits that the probe ran under.
        outer_uid: The uid of cells outside.
        memory: The wall that the agent knows by itself: how memory is bounded.
    """
    walls = [_namespace(seen, own, short, name) for short, name in _NAMES]
    network = walls[3]
    if network.standing and (seen["interfaces"] != ["lo"] or not seen["connect"]):
        reach = "interfaces %s, connecting out: %s" % (seen["interfaces"], seen["connect"] or "succeeded")
        walls[3] = Wall("network_namespace", False, reach)
    read_only = {"EROFS", "EACCES"}
    closed = seen["write_root"] in read_only and seen["write_usr"] in read_only
    bounded = 0 < seen["disk_bytes"] <= limits["disk_bytes"] + 4096
    walls.append(
        Wall(
            "private_filesystem",
            walls[2].standing and closed and bounded,
            "room for %d bytes; writing elsewhere: %s" % (seen["disk_bytes"], seen["write_root"] or "succeeded"),
        )
    )
    alone = seen["proc_is_there"] and len(seen["processes"]) <= 2 and walls[1].standing
    walls.append(
        Wall(
            "own_proc",
            alone,
            "shows %d processes" % len(seen["processes"]) if seen["proc_is_there"] else "empty",
        )
    )
    reachable = ", ".join(seen["reachable"][:5])
    detail = "to be opened: %s" % reachable if reachable else "neither its memory nor its descriptors can be opened"
    walls.append(Wall("agent_out_of_reach", not reachable, detail))
    refused = {name: seen[name] for name in ("mount", "unshare", "ptrace", "keyctl")}
    filtered = seen["seccomp"] in ("2", None) and all(error == "EPERM" for error in refused.values())
    detail = ", ".join("%s: %s" % (name, error or "succeeded") for name, error in refused.items())
    walls.append(Wall("seccomp", filtered, detail))
    walls.append(_from_status("no_capabilities", seen["capabilities"], 0))
    walls.append(_from_status("no_new_privileges", seen["no_new_privs"], "1"))
    limited = seen["core_limit"] == 0 and seen["file_limit"] <= limits["open_files"] and seen["session"]
    detail = "open files %d, core %d" % (seen["file_limit"], seen["core_limit"])
    detail += "".join(", %s %d" % one for one in sorted(seen["minor_limits"].items()))
    walls.append(Wall("resource_limits", limited, detail))
    walls.append(Wall("closed_descriptors", set(seen["descriptors"]) <= {0, 1, 2, 3}, "open: %s" % seen["descriptors"]))
    walls.append(Wall("unprivileged_user", outer_uid != 0, "uid %d outside the cell" % outer_uid))
    walls.append(memory)
    return walls


def _namespace(seen: Dict[str, Any], own: Dict[str, int], short: str, name: str) -> Wall:
    inside = seen["namespaces"].get(short)
    if inside is not None and short in own:
        return Wall(name, inside != own[short], "its own" if inside != own[short] else "shared with the worker")
    if short == "mnt" and short not in own:
        return Wall(name, False, "this kernel has none")
    # Where the numbers cannot be read, what they would cause can.
    effects = {"user": seen["uid"] == 1000, "pid": seen["parent"] == 0, "net": seen["interfaces"] == ["lo"],
               "uts": seen["hostname"] == "cell"}  # fmt: skip
    effects["mnt"] = effects["user"] and effects["pid"]
    effects["ipc"] = effects["mnt"] and seen["semaphores"] == "ENOENT"
    return Wall(name, effects[short], "seen by its effects: /proc does not show it")


def _from_status(name: str, value: Any, wanted: Any) -> Wall:
    if value is None:
        return Wall(name, True, "set without error; /proc is empty, so it cannot be read back")
    return Wall(name, value == wanted, "/proc/self/status says %s" % value)
