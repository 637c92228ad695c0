"""Builds the walls of a worker around the agent, once, at its start.

Four ways, the strongest that the machine allows: as root (namespaces first, then for good another user), as an
ordinary user (through a user namespace), with namespaces but no file views where the kernel has no mount namespaces
(the server decides whether that will do), or without namespaces, which is weak and has to be allowed.
"""

from __future__ import annotations

import os
import shutil
import signal
import stat
import sys
import tempfile
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from .blueprint import Blueprint
from .walls import cgroup, limits, namespaces, probe, root, seccomp, syscalls

_UNPRIVILEGED = (65534, 65534)
"""Who cells are outside when the agent was started by root."""
_TO_BE_ANOTHER = (1, 5, 6, 7)
"""CAP_DAC_OVERRIDE, CAP_KILL, CAP_SETGID, CAP_SETUID: to have cells be another user, end them and read their files."""
_OWN = syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWNS
"""The agent's own namespaces. As their first process it takes everything with it when it ends, however it ends; and
with a user namespace that owns the PID namespace, zygotes may put children into those of cells and return."""


class Worker(NamedTuple):
    """What the agent has to build cells with."""

    blueprint: Blueprint
    cgroups: Optional[cgroup.Cgroups]
    memory_detail: str
    outer_uid: int
    """Who cells are outside all namespaces."""


class Site(NamedTuple):
    """What was made outside the worker's namespaces, and must be removed from there at the end."""

    cgroups: Optional[cgroup.Cgroups]
    memory_detail: str
    private_folder: str
    owner: Optional[Tuple[int, int]]
    """Who the agent becomes; None when it stays who it is."""
    planted: int = -1
    """A set of semaphores that no cell may find, which shows that it has an IPC namespace; -1 where /proc shows it."""

    def clear(self) -> None:
        """Removes it."""
        if self.planted >= 0:
            probe.unplant(self.planted)
        for path in self.cgroups.paths if self.cgroups else []:
            cgroup.remove_tree(path)
        if self.private_folder:
            shutil.rmtree(self.private_folder, ignore_errors=True)


def has_capability(number: int) -> bool:
    """Whether the caller has a capability in effect."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> number & 1)
    return False


def prepare(hello: Dict[str, Any], *, weak: bool) -> Site:
    """Makes what needs the first privileges: cgroups, and the folder that the weak way needs."""
    joinable = namespaces.can_be_joined()
    owner = _UNPRIVILEGED if (weak or joinable) and _can_step_down(weak=weak) else None
    cgroups, why = (None, "turned off") if hello.get("cgroup") == "off" else cgroup.prepare(owner)
    detail = "cgroup version %d" % cgroups.version if cgroups else "added up by the supervisor every 10 ms: %s" % why
    folder = tempfile.mkdtemp(prefix="cupel-") if weak or not joinable else ""
    if folder and owner:
        os.chown(folder, *owner)
    return Site(cgroups, detail, folder, owner, -1 if weak or joinable else probe.plant())


def _can_step_down(*, weak: bool) -> bool:
    """Whether the agent can become a user without rights and still reach its interpreter."""
    if os.geteuid() != 0:
        return False
    if not weak:
        return has_capability(21)  # CAP_SYS_ADMIN: the worker's root is built first, and reachable by anybody
    return has_capability(7) and all(map(_open_to_all, root.interpreter_paths()))  # CAP_SETUID


def fork_with_namespaces() -> "tuple[int, bool]":
    """Forks the agent out of the machine's namespaces; returns the pid, and whether it is in its last ones.

    Root gets a mount namespace first, to build the worker's root in; `enclose` goes on from there. Where cells have
    no file view the agent stays where it is: /proc, which cannot be mounted anew, names processes as seen from there.

    Raises:
        OSError: The machine forbids namespaces.
    """
    if not namespaces.can_be_joined():
        return syscalls.clone(0), False
    if os.geteuid() == 0 and has_capability(21):
        return syscalls.clone(syscalls.CLONE_NEWNS), False
    return syscalls.clone(_OWN), True


def enclose(hello: Dict[str, Any], site: Site, outer: Tuple[int, int], *, user_namespace: bool) -> Worker:
    """Builds the worker's walls around the calling process, which was made by `fork_with_namespaces`.

    Args:
        hello: The server's first frame.
        site: What was prepared outside.
        outer: The uid and gid that the agent was started with.
        user_namespace: Whether the process is in a user namespace of its own.

    Raises:
        OSError: A wall cannot be built.
    """
    if site.private_folder:
        return _without_file_views(site)
    if user_namespace:
        namespaces.map_ids((0, 0), outer)
    own_proc, links = root.build(hello.get("visible", []), hello.get("hidden", []), fresh_proc=user_namespace)
    if not user_namespace:
        outer = _UNPRIVILEGED
        _become(outer)
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)  # changing ids cleared it, and /proc/self with it
        _continue_in_child(_OWN)
        namespaces.map_ids((0, 0), outer)
        own_proc = root.mount_proc("/proc")
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)
    blueprint = Blueprint(
        namespaces=True,
        file_view=True,
        own_proc=own_proc and _nested_proc_allowed(),
        cgroups=site.cgroups is not None,
        seccomp=_filter_works(),
        data_limit=True,
        cell_ids=outer,
        private_folder="",
        links=links,
    )
    return Worker(blueprint, site.cgroups, site.memory_detail, outer[0])


def do_without(site: Site) -> Worker:
    """Prepares the weak way: no namespaces, all else that stands without them."""
    if site.owner:
        _become(site.owner)
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)
    return _on_shared_files(site, (os.geteuid(), os.getegid()), own_namespaces=False)


def _without_file_views(site: Site) -> Worker:
    """Goes on where there are no mount namespaces: cells get all others, and a folder each.

    There cells see us in /proc, and whoever is the same user outside can open our descriptors by /proc/PID/fd, the
    stream to the server among them. So they become another user, where we may make them one; where not, the test of
    the walls says so.

    Raises:
        OSError: Not even those can be had.
    """
    cell_ids = (os.geteuid(), os.getegid())
    if cell_ids[0] == 0 and all(map(has_capability, _TO_BE_ANOTHER)):
        cell_ids = _UNPRIVILEGED
        os.setgroups([])
        os.chmod(site.private_folder, 0o1733)  # each cell makes its folder in it by itself, and so owns it

    def try_namespaces() -> None:
        pid = namespaces.start_alone(cell_ids)
        if pid == 0:
            code = 1
            try:
                namespaces.furnish()
                code = 0
            except OSError as error:
                sys.stderr.write("no namespaces for cells: %s\n" % error)
                sys.stderr.flush()
            finally:
                os._exit(code)
        if os.waitpid(pid, 0)[1] != 0:
            raise OSError(1, "a cell cannot have namespaces")

    if not _in_child(try_namespaces):
        raise OSError(1, "namespaces are forbidden here, and mount namespaces do not exist")
    return _on_shared_files(site, cell_ids, own_namespaces=True)


def _on_shared_files(site: Site, cell_ids: Tuple[int, int], *, own_namespaces: bool) -> Worker:
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
    if not own_namespaces:  # where cells have a PID namespace nothing outlives its parent into ours
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
    blueprint = Blueprint(
        namespaces=own_namespaces,
        file_view=False,
        own_proc=os.path.exists("/proc/self/stat"),
        cgroups=site.cgroups is not None,
        seccomp=_filter_works(),
        data_limit=not _in_child(limits.map_beyond_data_limit),
        cell_ids=cell_ids,
        private_folder=site.private_folder,
        links=(),
    )
    return Worker(blueprint, site.cgroups, site.memory_detail, cell_ids[0])


def _continue_in_child(flags: int) -> None:
    """Returns in a child in new namespaces; the caller itself waits for it and ends as it ends."""
    pid = syscalls.clone(flags)
    if pid == 0:
        return
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
    syscalls.close_range(3, 0xFFFFFFFF)
    _, status = os.waitpid(pid, 0)
    os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 1)


def _become(ids: Tuple[int, int]) -> None:
    os.setgroups([])
    os.setresgid(ids[1], ids[1], ids[1])
    os.setresuid(ids[0], ids[0], ids[0])


def _open_to_all(path: str) -> bool:
    parts: List[str] = []
    while path not in ("", "/"):
        parts.append(path)
        path = os.path.dirname(path)
    return all(os.stat(part).st_mode & stat.S_IXOTH for part in parts if os.path.exists(part))


def _in_child(action: Any) -> bool:
    """Whether an action succeeds in a child of its own, whose walls it may change."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            action()
            code = 0
        except OSError as error:
            sys.stderr.write("tried and refused: %s\n" % error)
            sys.stderr.flush()
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1] == 0


def _filter_works() -> bool:
    def install() -> None:
        if not syscalls.supported():
            raise OSError(38, "no filter is known for the architecture %s" % syscalls.MACHINE)
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
        filter_program, _memory = seccomp.compiled(sampled=True)
        seccomp.install(filter_program)

    return _in_child(install)


def _nested_proc_allowed() -> bool:
    """Whether a cell can mount a /proc of its own: refused where parts of the machine's /proc are covered."""

    def mount() -> None:
        pid = syscalls.clone(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWNS)
        if pid == 0:
            code = 1
            try:
                namespaces.map_ids((namespaces.CELL_ID, namespaces.CELL_ID), (0, 0))
                root.enter_cell(1 << 20, (), own_proc=True)
                code = 0
            except OSError as error:
                sys.stderr.write("no /proc for cells: %s\n" % error)
                sys.stderr.flush()
            finally:
                os._exit(code)
        if os.waitpid(pid, 0)[1] != 0:
            raise OSError(1, "a cell cannot mount /proc")

    return _in_child(mount)
