"""Cupel as a wheel: what lies in `deploy/` in a checkout is inside the package there."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FOUND = """
import sys
sys.path.insert(0, sys.argv[1])
import sandbox_server
from sandbox_server.images import recipe
from sandbox_server.runtimes.docker.hardening import seccomp_profile
assert sandbox_server.__file__.startswith(sys.argv[1]), sandbox_server.__file__
assert str(recipe.folder()).startswith(sys.argv[1]), recipe.folder()
print(*recipe.names())
print(seccomp_profile(), end="")
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which Cupel is installed as from a package index."""
    folder = tmp_path_factory.mktemp("wheel")
    made = subprocess.run(
        [
            sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps",
            "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT),
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    (wheel,) = folder.glob("cupel-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_recipes_and_the_filter_for_system_calls_are_found(installed: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FOUND, str(installed)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    names, _, profile = done.stdout.partition("\n")
    assert set(names.split()) == {path.name for path in (ROOT / "deploy" / "images").iterdir() if path.is_dir()}
    assert profile == (ROOT / "deploy" / "seccomp" / "worker.json").read_text(encoding="utf-8")


def test_recipes_are_whole(installed: Path) -> None:
    images = ROOT / "deploy" / "images"
    whole = {path.relative_to(images) for path in images.rglob("*") if path.is_file()}
    packed = installed / "sandbox_server" / "images" / "recipes"
    assert {path.relative_to(packed) for path in packed.rglob("*") if path.is_file()} == whole
