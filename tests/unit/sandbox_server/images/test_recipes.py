"""Golden: what each folder of deploy/images has to hold."""

from __future__ import annotations

import io
import re
import tarfile
from typing import TYPE_CHECKING

import pytest

from sandbox_server.images import digest, recipe, requirements
from sandbox_server.images.errors import RecipeError

if TYPE_CHECKING:
    from pathlib import Path

_NAMES = ("python", "scientific", "bigcodebench")
_LOCKS = sorted(recipe.folder().glob("*/*.lock"))


def _members(context: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(context)) as tar:
        found = {}
        for member in tar.getmembers():
            file = tar.extractfile(member)
            assert file is not None
            assert (member.uid, member.gid, member.uname, member.gname, member.mtime) == (0, 0, "", "", 0)
            found[member.name] = file.read()
        return found


def test_there_is_a_recipe_for_each_environment_the_quick_ones_first() -> None:
    assert recipe.names() == _NAMES


@pytest.mark.parametrize("path", _LOCKS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_pin_of_a_lock_has_a_hash_and_no_place(path: Path) -> None:
    text = path.read_text("utf-8")
    assert "://" not in text
    assert "--index" not in text
    blocks = [block for block in re.split(r"\n(?=\S)", text) if block.strip() and not block.startswith("#")]
    for block in blocks:
        assert re.fullmatch(
            r"[a-z0-9][a-z0-9-]*==[^\s;]+(?: ; [^\\\n]+)?(?: \\\n {4}--hash=sha256:[0-9a-f]{64})+\n?", block
        ), block
    assert len(blocks) == len(requirements.pinned(text))


@pytest.mark.parametrize("name", _NAMES)
def test_a_recipe_is_complete(name: str) -> None:
    made_of = recipe.load(name)
    assert made_of.definition.name == name
    assert made_of.definition.interpreter == "/opt/cupel/env/bin/python"
    dockerfile = made_of.files["Dockerfile"].decode()
    entry = f'["{made_of.definition.interpreter}", "-s", "-B", "/opt/cupel/agent/launch.py"]'
    assert dockerfile.startswith("#")
    assert "\nARG BASE_IMAGE=python:3.11-slim\n" in dockerfile
    assert f"\nENTRYPOINT {entry}\n" in dockerfile
    assert "\nUSER 1000:1000\n" in dockerfile
    # BuildKit's own: the classic API refuses it.
    assert not re.search(r"--mount|<<|^# *syntax", dockerfile, re.MULTILINE)
    assert not any(file.endswith(".in") for file in made_of.files)


@pytest.mark.parametrize("name", _NAMES)
def test_every_profile_preloads_what_the_lock_has(name: str) -> None:
    made_of = recipe.load(name)
    packages = set(requirements.pinned(made_of.lock.decode()))
    import_names = {
        "PIL": "pillow", "bs4": "beautifulsoup4", "cv2": "opencv-python-headless", "dateutil": "python-dateutil",
        "docx": "python-docx", "skimage": "scikit-image", "sklearn": "scikit-learn", "tensorflow": "tensorflow-cpu",
        "yaml": "pyyaml",
    }  # fmt: skip
    for modules in made_of.definition.profiles.values():
        tops = {module.partition(".")[0] for module in modules}
        assert {import_names.get(top, top).lower() for top in tops} <= packages


def test_the_standard_librarys_environment_has_no_package() -> None:
    made_of = recipe.load("python")
    assert requirements.pinned(made_of.lock.decode()) == {}
    assert made_of.definition.profiles == {}


def test_no_package_for_a_gpu_is_locked() -> None:
    packages = requirements.pinned(recipe.load("bigcodebench").lock.decode())
    assert packages["tensorflow-cpu"] == "2.12.1"
    assert not [name for name in packages if "nvidia" in name or "cuda" in name or name.startswith("tensorflow-gpu")]


@pytest.mark.parametrize("name", _NAMES)
def test_a_context_holds_the_recipe_and_the_agent_and_nothing_else(name: str) -> None:
    made_of = recipe.load(name)
    members = _members(recipe.context(made_of.files))
    agent = {path: text for path, text in members.items() if path.startswith("agent/")}
    assert agent == {f"agent/{path}": text for path, text in digest.agent_files().items()}
    assert {path: text for path, text in members.items() if path not in agent} == dict(made_of.files)


def test_a_ca_bundle_is_added_only_when_there_is_one() -> None:
    files = recipe.load("python").files
    assert "ca-bundle.pem" not in _members(recipe.context(files))
    assert _members(recipe.context(files, b"certificates"))["ca-bundle.pem"] == b"certificates"


@pytest.mark.parametrize("name", _NAMES)
def test_the_ca_bundle_is_copied_in_the_build_stage_only(name: str) -> None:
    dockerfile = recipe.load(name).files["Dockerfile"].decode()
    stages = re.split(r"^FROM ", dockerfile, flags=re.MULTILINE)[1:]
    assert not [stage for stage in stages if "ca-bundle" in stage and " AS build\n" not in stage]


def test_the_same_content_gives_the_same_context() -> None:
    files = recipe.load("python").files
    assert recipe.context(files) == recipe.context(dict(reversed(list(files.items()))))


@pytest.mark.parametrize("name", ["nosuch", "..", "", "python/.."])
def test_a_recipe_that_is_not_there_is_told_with_those_that_are(name: str) -> None:
    with pytest.raises(RecipeError, match="there are python, scientific, bigcodebench"):
        recipe.load(name)


def test_an_incomplete_recipe_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "_FOLDERS", (tmp_path,))
    folder = tmp_path / "some"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\n")
    with pytest.raises(RecipeError, match=r"requirements\.lock is missing"):
        recipe.load("some")
    (folder / "requirements.lock").write_text("")
    with pytest.raises(RecipeError, match=r"environment\.toml is missing"):
        recipe.load("some")
    (folder / "environment.toml").write_text('name = "other"\ndescription = "x"\ninterpreter = "/python"\n')
    with pytest.raises(RecipeError, match="name is 'other', but the folder is 'some'"):
        recipe.load("some")
    monkeypatch.setattr(recipe, "_FOLDERS", (tmp_path / "absent",))
    with pytest.raises(RecipeError, match="there are no recipes"):
        recipe.names()
