from __future__ import annotations

import pytest

from sandbox_server.images import names
from sandbox_server.images.errors import DefinitionError


@pytest.mark.parametrize("name", ["python", "a", "with-attrs", "py3_11", "a" * 63])
def test_good_names_are_taken(name: str) -> None:
    assert names.checked_environment(name) == name
    assert names.reference(name) == f"cupel/{name}:latest"


@pytest.mark.parametrize("name", ["", "Python", "3x", "a b", "a--b", "-a", "a-", "a/b", "a:b", "é", "a\n", "a" * 64])
def test_names_that_no_image_can_have_are_told(name: str) -> None:
    with pytest.raises(DefinitionError, match="cannot name an environment"):
        names.checked_environment(name)


def test_a_reference_can_have_another_tag() -> None:
    assert names.reference("python", "test") == "cupel/python:test"
