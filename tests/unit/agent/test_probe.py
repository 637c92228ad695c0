from __future__ import annotations

from typing import Any

import pytest

from sandbox_server.agent.walls import probe

LIMITS = {"disk_bytes": 8 << 20, "open_files": 64}
NAMESPACES = {"user": 1, "pid": 2, "mnt": 3, "net": 4, "ipc": 5, "uts": 6}
SEEN: dict[str, Any] = {
    "uid": 1000, "parent": 0, "namespaces": {name: number + 10 for name, number in NAMESPACES.items()},
    "interfaces": ["lo"], "hostname": "cell", "connect": "ENETUNREACH", "write_root": "EROFS", "write_usr": "EROFS",
    "disk_bytes": 8 << 20, "processes": [2], "proc_is_there": True, "reachable": [], "capabilities": 0,
    "no_new_privs": "1", "seccomp": "2", "mount": "EPERM", "unshare": "EPERM", "ptrace": "EPERM", "keyctl": "EPERM",
    "semaphores": "ENOENT", "descriptors": [0, 1, 2], "core_limit": 0, "file_limit": 64, "session": True,
    "minor_limits": {"message queues": 0, "pending signals": 256},
}  # fmt: skip
MEMORY = probe.Wall("memory_limit", standing=True, detail="")


def missing(own: dict[str, int], **changes: Any) -> set[str]:
    walls = probe.judge({**SEEN, **changes}, own, LIMITS, 65534, MEMORY)
    assert len({wall.name for wall in walls}) == len(walls)
    return {wall.name for wall in walls if not wall.standing}


def test_all_stand_where_nothing_gets_through() -> None:
    assert missing(NAMESPACES) == set()


@pytest.mark.parametrize(
    ("changes", "walls"),
    [
        ({"reachable": ["/proc/2/fd/4"]}, {"agent_out_of_reach"}),
        ({"namespaces": {**SEEN["namespaces"], "ipc": 5}}, {"ipc_namespace"}),
        ({"connect": ""}, {"network_namespace"}),
        ({"processes": [1, 2, 3]}, {"own_proc"}),
        ({"unshare": ""}, {"seccomp"}),
        ({"no_new_privs": "0"}, {"no_new_privileges"}),
        ({"descriptors": [0, 1, 2, 7]}, {"closed_descriptors"}),
    ],
)
def test_what_gets_through_is_named(changes: dict[str, Any], walls: set[str]) -> None:
    assert missing(NAMESPACES, **changes) == walls


SHOWN = {"user": 1, "pid": 2, "net": 4}
OF_CELL = {"user": 11, "pid": 12, "net": 14}


def test_a_kernel_that_shows_no_mount_namespace_has_none_whatever_flags_it_takes() -> None:
    assert missing(SHOWN, namespaces=OF_CELL) == {"mount_namespace", "private_filesystem"}


@pytest.mark.parametrize(
    ("changes", "wall"), [({"semaphores": ""}, "ipc_namespace"), ({"hostname": "worker"}, "uts_namespace")]
)
def test_what_a_kernel_does_not_show_is_judged_by_its_effects(changes: dict[str, Any], wall: str) -> None:
    found = missing(SHOWN, namespaces=OF_CELL, **changes)
    assert found == {"mount_namespace", "private_filesystem", wall}


def test_without_a_proc_the_effects_are_what_is_left() -> None:
    gone = {"namespaces": {}, "proc_is_there": False, "processes": [], "capabilities": None, "no_new_privs": None}
    assert missing(NAMESPACES, **gone, seccomp=None) == {"own_proc"}
