from __future__ import annotations

from pathlib import Path

import pytest

from sandbox_server.images import base
from sandbox_server.images.errors import BaseImageError
from tests.unit.sandbox_server.images.fakes import FakeEngine


@pytest.fixture
def said() -> list[str]:
    return []


def test_a_base_that_is_named_is_taken_and_pulled_if_need_be(said: list[str]) -> None:
    engine = FakeEngine(pullable={"some:base"})
    assert base.ensure(engine, "some:base", said.append) == "some:base"
    assert base.ensure(engine, "some:base", said.append) == "some:base"
    assert engine.pulled == ["some:base"]
    assert said == ["pulling the base image some:base"]


def test_a_base_that_is_named_and_nowhere_to_be_had_is_told(said: list[str]) -> None:
    with pytest.raises(BaseImageError, match="cannot pull some:base"):
        base.ensure(FakeEngine(), "some:base", said.append)


def test_the_usual_base_comes_first_without_a_word(said: list[str]) -> None:
    engine = FakeEngine()
    engine.put(base.USUAL)
    engine.put(base.HOMEMADE)
    assert base.ensure(engine, None, said.append) == base.USUAL
    assert (engine.pulled, said) == ([], [])


def test_the_usual_base_is_pulled_when_it_can_be(said: list[str]) -> None:
    engine = FakeEngine(pullable={base.USUAL})
    assert base.ensure(engine, None, said.append) == base.USUAL
    assert engine.imported == []


def test_a_base_that_was_made_before_is_taken_and_told(said: list[str]) -> None:
    engine = FakeEngine(pullable={base.USUAL})
    engine.put(base.HOMEMADE)
    assert base.ensure(engine, None, said.append) == base.HOMEMADE
    assert engine.pulled == []
    assert base.HOMEMADE in said[0]


def _stub(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = folder / "debootstrap"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setattr("os.geteuid", lambda: 0)


def test_without_a_registry_a_base_is_made_of_debians_packages(
    said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The stub is a debootstrap that leaves what the real one leaves of the machine, and keeps a copy of its arguments.
    script = f"""
for tree; do :; done
echo "$@" > {tmp_path}/arguments
mkdir -p "$tree/etc" "$tree/var/cache/apt/archives" "$tree/usr/share/doc/x" "$tree/usr/bin"
echo machine > "$tree/etc/hostname"; echo nameserver > "$tree/etc/resolv.conf"
echo x > "$tree/var/cache/apt/archives/x.deb"; ln -s doc "$tree/usr/share/man"
"""
    _stub(tmp_path, script, monkeypatch)
    seen: list[list[str]] = []
    strip = base._strip

    def look(tree: Path) -> None:
        strip(tree)
        seen.append(sorted(str(path.relative_to(tree)) for path in tree.rglob("*") if not path.is_dir()))
        seen.append([path.read_text() for path in sorted((tree / "etc").iterdir())])

    monkeypatch.setattr(base, "_strip", look)
    engine = FakeEngine()
    assert base.ensure(engine, None, said.append) == base.HOMEMADE
    assert engine.imported == [base.HOMEMADE]
    assert seen == [["etc/hostname", "etc/resolv.conf"], ["", ""]]
    arguments = (tmp_path / "arguments").read_text().split()
    assert arguments[:3] == [
        "--variant=minbase",
        "--include=python3,python3-gdbm,python3-venv,ca-certificates",
        "bookworm",
    ]
    assert not Path(arguments[3]).exists()
    assert base.HOMEMADE in said[-1]
    assert "no such host" in said[-1]


def test_a_debootstrap_that_fails_is_told_with_its_last_words(
    said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _stub(tmp_path, "echo 'E: Failed getting release file'; exit 3", monkeypatch)
    with pytest.raises(BaseImageError, match=r"exit code 3:\nE: Failed getting release file\n.*--base-image"):
        base.ensure(FakeEngine(), None, said.append)


def test_without_debootstrap_the_one_command_is_told(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_args, **_options: None)
    with pytest.raises(BaseImageError, match="apt-get install debootstrap"):
        base.ensure(FakeEngine(), None, said.append)


def test_without_root_that_is_told(said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _stub(tmp_path, "exit 1", monkeypatch)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(BaseImageError, match="needs root"):
        base.ensure(FakeEngine(), None, said.append)
