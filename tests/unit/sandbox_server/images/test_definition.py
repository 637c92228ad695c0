from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import pytest

from sandbox_server.images import definition
from sandbox_server.images.errors import DefinitionError

if TYPE_CHECKING:
    from pathlib import Path

_TEXT = """
name = "some"
description = "Says \\"so\\"."
interpreter = "/opt/cupel/env/bin/python"

[profiles]
rare = ["tensorflow"]
common = ["numpy", "matplotlib.pyplot"]

[limits]
memory_bytes = 8589934592
cpu_time_s = 60.5
"""


def test_reads_what_a_file_says_and_keeps_the_order_of_profiles(tmp_path: Path) -> None:
    path = tmp_path / "environment.toml"
    path.write_text(_TEXT)
    found = definition.load(path)
    assert found.name == "some"
    assert list(found.profiles) == ["rare", "common"]
    assert found.limits == {"memory_bytes": 8 << 30, "cpu_time_s": 60.5}


def test_the_label_and_the_file_say_the_same() -> None:
    found = definition.parse_toml(_TEXT, "test")
    assert definition.parse_json(found.as_json(), "label") == found
    assert definition.parse_toml(found.as_toml(), "file") == found
    assert list(definition.parse_json(found.as_json(), "label").profiles) == ["rare", "common"]
    assert tomllib.loads(found.as_toml())["description"] == 'Says "so".'
    assert "\n" not in found.as_json()


def test_a_renamed_definition_keeps_everything_else() -> None:
    found = definition.parse_toml(_TEXT, "test")
    other = found.renamed("other", "some with x")
    assert (other.name, other.description) == ("other", "some with x")
    assert (other.profiles, other.limits, other.interpreter) == (found.profiles, found.limits, found.interpreter)
    with pytest.raises(DefinitionError, match="name: 'Other' cannot name an environment"):
        found.renamed("Other", "x")


@pytest.mark.parametrize(
    ("replaced", "by", "told"),
    [
        ('name = "some"', "", "name: Field required"),
        ('name = "some"', 'name = "So me"', "name: 'So me' cannot name an environment"),
        ('name = "some"', "name = 3", "name: Input should be a valid string"),
        ('"/opt/cupel/env/bin/python"', '"python"', "interpreter: 'python' is not an absolute path"),
        ("memory_bytes", "memory", "limits: memory: Extra inputs are not permitted"),
        ("8589934592", "1", "limits: memory_bytes: Input should be greater than or equal to"),
        ("8589934592", '"many"', "limits.memory_bytes"),
        ('["tensorflow"]', "[]", "profiles: profile 'rare' has no modules"),
        ('["tensorflow"]', '["tensor flow"]', "profiles: profile 'rare': 'tensor flow' is not a module's name"),
        ("rare =", "none =", "profiles: 'none' cannot name a profile"),
        ("rare =", '"Rare one" =', "profiles: 'Rare one' cannot name a profile"),
        ('name = "some"', 'name = "some"\nshell = "bash"', "shell: Extra inputs are not permitted"),
        ('name = "some"', "name = some", "is not TOML"),
    ],
)
def test_a_mistake_is_told_with_file_and_field(tmp_path: Path, replaced: str, by: str, told: str) -> None:
    path = tmp_path / "environment.toml"
    assert replaced in _TEXT
    path.write_text(_TEXT.replace(replaced, by, 1))
    with pytest.raises(DefinitionError) as raised:
        definition.load(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert told in str(raised.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, '{"name":"x"}'])
def test_a_label_that_is_no_definition_is_told(text: str) -> None:
    with pytest.raises(DefinitionError, match=r"^label: "):
        definition.parse_json(text, "label")


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="cannot be read"):
        definition.load(tmp_path / "absent.toml")
    (tmp_path / "latin.toml").write_bytes(b"name = '\xe9'")
    with pytest.raises(DefinitionError, match="cannot be read"):
        definition.load(tmp_path / "latin.toml")
