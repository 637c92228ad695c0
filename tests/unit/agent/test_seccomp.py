from __future__ import annotations

import struct

import pytest

from sandbox_server.agent.walls import seccomp

_ALLOW, _KILL, _EPERM, _ENOSYS, _NO_FAMILY = 0x7FFF0000, 0x80000000, 0x50001, 0x50026, 0x50061
_X86_64, _AARCH64 = 0xC000003E, 0xC00000B7


def _run(
    machine: str, number: int, arguments: tuple[int, ...] = (), architecture: int = 0, *, sampled: bool = False
) -> int:
    """Interprets the filter as the kernel does, and returns its decision."""
    architecture = architecture or (_X86_64 if machine == "x86_64" else _AARCH64)
    padded = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("=IIQ6Q", number, architecture, 0, *padded)
    text = seccomp.program(machine, sampled=sampled)
    accumulator, at = 0, 0
    while True:
        operation, if_true, if_false, value = map(int, struct.unpack_from("HBBI", text, 8 * at))
        at += 1
        if operation == 0x20:
            accumulator = struct.unpack_from("=I", data, value)[0]
        elif operation == 0x06:
            return value
        else:
            holds = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[operation]
            at += if_true if holds else if_false


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_listed_call_is_refused_and_others_are_not(machine: str) -> None:
    column = 0 if machine == "x86_64" else 1
    for table, decision in ((seccomp._REFUSED, _EPERM), (seccomp._ABSENT, _ENOSYS)):
        for name, numbers in table.items():
            if numbers[column] >= 0:
                assert _run(machine, numbers[column]) == decision, name
    for number in {"x86_64": (0, 1, 2, 9, 57, 59, 231), "aarch64": (56, 57, 63, 64, 93, 221, 222)}[machine]:
        assert _run(machine, number) == _ALLOW


@pytest.mark.parametrize(("machine", "clone"), [("x86_64", 56), ("aarch64", 220)])
def test_clone_may_fork_but_not_make_namespaces(machine: str, clone: int) -> None:
    assert _run(machine, clone, (17,)) == _ALLOW
    assert _run(machine, clone, (0x3D0F00,)) == _ALLOW  # a thread
    for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert _run(machine, clone, (17 | flag,)) == _EPERM


@pytest.mark.parametrize(("machine", "numbers"), [("x86_64", (41, 53)), ("aarch64", (198, 199))])
def test_sockets_only_of_families_that_a_network_namespace_holds(machine: str, numbers: tuple[int, int]) -> None:
    for number in numbers:
        for family in range(64):
            expected = _ALLOW if family in {1, 2, 10, 16} else _NO_FAMILY
            assert _run(machine, number, (family, 1)) == expected


@pytest.mark.parametrize(("machine", "ioctl"), [("x86_64", 16), ("aarch64", 29)])
def test_typing_into_a_terminal_is_refused(machine: str, ioctl: int) -> None:
    assert _run(machine, ioctl, (0, 0x5412)) == _EPERM
    assert _run(machine, ioctl, (0, 0x541C)) == _EPERM
    assert _run(machine, ioctl, (0, 0x5413)) == _ALLOW  # the size of the window


def test_other_calling_conventions_are_not_a_way_around() -> None:
    assert _run("x86_64", 165, architecture=0x40000003) == _KILL  # i386
    assert _run("x86_64", 0x40000000 | 165) == _EPERM  # x32


def test_memory_that_nobody_counts_is_refused_only_where_it_is_not_counted() -> None:
    for number in (319, 447, 29):
        assert _run("x86_64", number, sampled=True) == _EPERM
        assert _run("x86_64", number) == _ALLOW
