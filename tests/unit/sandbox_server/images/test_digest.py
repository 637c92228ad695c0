from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from sandbox_server.images import digest

if TYPE_CHECKING:
    from pathlib import Path


def _tree(folder: Path, files: dict[str, str]) -> str:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return digest.agent_digest(folder)


def test_the_same_files_give_the_same_digest(tmp_path: Path) -> None:
    files = {"b.py": "2", "a.py": "1", "walls/c.py": "3"}
    one = _tree(tmp_path / "one", files)
    assert one == _tree(tmp_path / "two", dict(reversed(list(files.items()))))
    assert one.startswith("sha256:")
    assert len(one) == len("sha256:") + 64


def test_any_change_of_a_source_file_changes_it(tmp_path: Path) -> None:
    variants: list[dict[str, str]] = [
        {"a.py": "1", "b.py": "2"},
        {"a.py": "1", "b.py": "3"},
        {"a.py": "12", "b.py": ""},
        {"a.py": "1", "c.py": "2"},
        {"a.py": "1", "b/b.py": "2"},
        {"a.py": "1"},
        {},
    ]
    digests = {_tree(tmp_path / str(number), files) for number, files in enumerate(variants)}
    assert len(digests) == len(variants)


def test_what_is_no_source_does_not_count(tmp_path: Path) -> None:
    before = _tree(tmp_path, {"a.py": "1"})
    assert _tree(tmp_path, {"__pycache__/a.cpython-311.pyc": "compiled", "notes.txt": "x"}) == before


def test_the_agents_files_are_those_of_its_package() -> None:
    files = digest.agent_files()
    assert {"launch.py", "main.py", "walls/seccomp.py", "harness/recorder.py"} <= set(files)
    assert list(files) == sorted(files)
    assert all(path.endswith(".py") for path in files)


def test_a_locks_digest_is_that_of_its_text() -> None:
    assert digest.lock_digest(b"x==1") == "sha256:" + hashlib.sha256(b"x==1").hexdigest()
