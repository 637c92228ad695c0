import importlib.machinery
import importlib.util
import os
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from sandbox_server.agent import inventory


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on the path besides the standard library's."""
    library = str(Path(str(os.__file__)).parent)
    kept = [path for path in sys.path if path.startswith(library) and "-packages" not in path]
    monkeypatch.setattr(sys, "path", [*kept, str(tmp_path)])
    return tmp_path


def make(site: Path, *names: str, **texts: str) -> None:
    for name in names:
        path = site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(texts.get(path.name, ""))


def packages() -> Any:
    return inventory.take()["packages"]


def test_packages_are_read_from_the_names_of_their_metadata(site: Path) -> None:
    make(site, "Scikit_Learn-1.5.0.dist-info/RECORD", "ruamel.yaml-0.18.6.dist-info/RECORD")
    make(site, "PyYAML-6.0.egg-info", "six-1.16.0-py3.11.egg-info/PKG-INFO", "torch-2.1.0+cpu.dist-info/RECORD")
    assert packages() == {
        "scikit-learn": "1.5.0",
        "ruamel-yaml": "0.18.6",
        "pyyaml": "6.0",
        "six": "1.16.0",
        "torch": "2.1.0+cpu",
    }


def test_metadata_without_a_version_in_its_name_is_read(site: Path) -> None:
    (site / "dev.egg-info").mkdir()
    (site / "dev.egg-info" / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: My.Dev\nVersion: 3\n\nName: no\n")
    assert packages() == {"my-dev": "3"}


def test_what_is_no_package_is_left_out(site: Path) -> None:
    make(
        site,
        "nothing.dist-info/RECORD",
        "%-1.dist-info/RECORD",
        "x-\x1b[2J.dist-info/RECORD",
        f"{'y' * 201}-1.egg-info",
    )
    assert packages() == {}


def test_the_first_package_on_the_path_counts(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(site, "one/a-1.dist-info/RECORD", "two/a-2.dist-info/RECORD")
    monkeypatch.setattr(sys, "path", [*sys.path, str(site / "one"), str(site / "two"), str(site / "gone")])
    assert packages() == {"a": "1"}


def test_modules_are_what_can_be_imported(site: Path) -> None:
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    make(site, "package/__init__.py", "namespace/inner/x.py", "single.py", f"native{suffix}")
    make(site, "__pycache__/x.pyc", "with-dash/x.py", "notes.txt", "numpy.libs/x.so", "json/__init__.py", "é.py")
    assert inventory.take()["modules"] == ["namespace", "native", "package", "single"]


def test_the_digest_tells_packages_and_versions_apart(site: Path) -> None:
    digests = [inventory.take()["digest"]]
    for name in ("a-1.dist-info/RECORD", "b-1.dist-info/RECORD"):
        make(site, name)
        digests.append(inventory.take()["digest"])
    assert len(set(digests)) == 3
    assert inventory.take()["digest"] == digests[-1]
    assert all(digest.startswith("sha256:") for digest in digests)


def test_what_is_listed_is_what_python_itself_finds() -> None:
    found = inventory.take()
    assert found["packages"] == {
        re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower(): one.version for one in metadata.distributions()
    }
    assert [name for name in found["modules"] if importlib.util.find_spec(name) is None] == []


def test_this_interpreter_has_what_its_tests_need() -> None:
    found = inventory.take()
    assert {"pytest", "numpy"} <= set(found["modules"]) & set(found["packages"])
    assert not {"os", "json", "lib-dynload"} & set(found["modules"])
