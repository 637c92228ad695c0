"""The exact container that is asked for, field by field: a change here is a change of what samples can do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import docker
import pytest

from sandbox_server.runtimes.docker import hardening, labels
from sandbox_server.runtimes.docker.engine import EngineFacts
from sandbox_server.runtimes.docker.hardening import Container, Shape, seccomp_profile, worker_container

if TYPE_CHECKING:
    from pathlib import Path

GIB = 1 << 30
FACTS = EngineFacts("20.10", 8 * GIB, 2, frozenset({"runc"}), apparmor=False)

ADDED = {"clone", "setns", "mount", "mount_setattr", "umount2", "pivot_root", "sethostname"}
# What Docker's own default gives to nobody, or only to containers that have a capability which workers have not.
WITHHELD_BY_DOCKER = {
    "acct", "add_key", "bpf", "chroot", "clock_settime", "clock_settime64", "clone", "clone3", "delete_module",
    "fanotify_init", "finit_module", "fsconfig", "fsmount", "fsopen", "fspick", "get_mempolicy", "init_module",
    "io_uring_enter", "io_uring_register", "io_uring_setup", "ioperm", "iopl", "kcmp", "kexec_file_load", "kexec_load",
    "keyctl", "lookup_dcookie", "mbind", "mount", "mount_setattr", "move_mount", "move_pages", "nfsservctl",
    "open_by_handle_at", "open_tree", "perf_event_open", "pidfd_getfd", "pivot_root", "process_madvise",
    "process_vm_readv", "process_vm_writev", "quotactl", "quotactl_fd", "reboot", "request_key", "set_mempolicy",
    "set_mempolicy_home_node", "setdomainname", "sethostname", "setns", "settimeofday", "stime", "swapoff", "swapon",
    "syslog", "umount", "umount2", "unshare", "uselib", "userfaultfd", "vhangup", "vm86", "vm86old",
}  # fmt: skip


def container(*, apparmor: bool = False, oci_runtime: str = "") -> Container:
    facts = EngineFacts("20.10", 8 * GIB, 2, frozenset({"runc"}), apparmor)
    return worker_container("sha256:1", "/env/python", "me", Shape("cells", GIB, 512, oci_runtime), facts)


def test_the_container_that_is_asked_for() -> None:
    asked = container()
    assert asked.config == {
        "image": "sha256:1",
        "entrypoint": ["/env/python", "-s", "-B", "/opt/cupel/agent/launch.py"],
        "command": [],
        "user": "1000:1000",
        "hostname": "worker",
        "working_dir": "/",
        "environment": {
            "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TZ": "UTC",
            "HOME": "/tmp", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MPLBACKEND": "Agg", "TF_CPP_MIN_LOG_LEVEL": "3",
            "TF_ENABLE_ONEDNN_OPTS": "0",
        },
        "stdin_open": True,
        "labels": {labels.WORKER: "cells", labels.SERVER: "me"},
    }  # fmt: skip
    assert asked.host_config == {
        "auto_remove": True,
        "network_mode": "none",
        "ipc_mode": "private",
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges", f"seccomp={seccomp_profile()}"],
        "read_only": True,
        "tmpfs": {"/tmp": "rw,nosuid,nodev,noexec,size=67108864,mode=1777"},
        "shm_size": 1 << 20,
        "mem_limit": GIB,
        "memswap_limit": GIB,
        "pids_limit": 512,
        "ulimits": [{"Name": "core", "Soft": 0, "Hard": 0}],
        "log_config": {"Type": "none", "Config": {}},
    }
    assert asked.bare == {"MaskedPaths": [], "ReadonlyPaths": []}


def test_what_the_engine_is_told_of_it() -> None:
    """The SDK translates; what is lost in translation would be lost in silence."""
    told = docker.APIClient(version="1.41").create_host_config(**container().host_config)
    assert told == {
        "AutoRemove": True,
        "NetworkMode": "none",
        "IpcMode": "private",
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges", f"seccomp={seccomp_profile()}"],
        "ReadonlyRootfs": True,
        "Tmpfs": {"/tmp": "rw,nosuid,nodev,noexec,size=67108864,mode=1777"},
        "ShmSize": 1 << 20,
        "Memory": GIB,
        "MemorySwap": GIB,
        "PidsLimit": 512,
        "Ulimits": [{"Name": "core", "Soft": 0, "Hard": 0}],
        "LogConfig": {"Type": "none", "Config": {}},
    }


def test_nothing_of_the_machine_is_given_to_it() -> None:
    asked = container(apparmor=True, oci_runtime="runc")
    forbidden = {
        "privileged", "cap_add", "devices", "device_requests", "binds", "mounts", "volumes_from", "pid_mode",
        "userns_mode", "uts_mode", "cgroup_parent", "extra_hosts", "links", "port_bindings", "sysctls", "group_add",
        "oom_kill_disable",
    }  # fmt: skip
    assert not forbidden & set(asked.host_config)
    assert not {"volumes", "ports", "tty"} & set(asked.config)


def test_apparmor_is_let_go_of_only_where_there_is_one() -> None:
    assert "apparmor=unconfined" not in container().host_config["security_opt"]
    assert container(apparmor=True).host_config["security_opt"][-1] == "apparmor=unconfined"


def test_the_oci_runtime_is_the_engines_own_unless_one_is_named() -> None:
    assert "runtime" not in container().host_config
    assert container(oci_runtime="runc").host_config["runtime"] == "runc"


def rules() -> list[dict[str, object]]:
    profile = json.loads(seccomp_profile())
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    found: list[dict[str, object]] = profile["syscalls"]
    return found


def names(rule: dict[str, object]) -> set[str]:
    listed = rule["names"]
    assert isinstance(listed, list)
    return set(listed)


def test_the_profile_adds_exactly_what_it_says_it_adds() -> None:
    added = [rule for rule in rules() if str(rule.get("comment", "")).startswith("Added. ")]
    assert [len(names(rule)) for rule in added] == [1] * len(added), "a call that is added has a comment of its own"
    assert set().union(*map(names, added)) == ADDED
    assert all("args" not in rule and rule["action"] == "SCMP_ACT_ALLOW" for rule in added)


def test_the_profile_allows_nothing_else_that_docker_withholds() -> None:
    allowed = set().union(*(names(rule) for rule in rules() if rule["action"] == "SCMP_ACT_ALLOW"))
    assert allowed & WITHHELD_BY_DOCKER == ADDED
    assert {"read", "write", "execve", "wait4", "futex"} <= allowed


def test_clone3_is_unknown_so_that_clone_is_seen() -> None:
    (rule,) = [rule for rule in rules() if "clone3" in names(rule)]
    assert (rule["action"], rule["errnoRet"]) == ("SCMP_ACT_ERRNO", 38)


def test_no_rule_depends_on_a_capability() -> None:
    """Workers have none, so that such a rule would be a promise that nobody keeps."""
    for rule in rules():
        includes = rule.get("includes", {})
        assert isinstance(includes, dict)
        assert "caps" not in includes


def test_an_installation_without_the_profile_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hardening, "_FOLDERS", (tmp_path,))
    with pytest.raises(FileNotFoundError, match="the installation is damaged"):
        seccomp_profile()
