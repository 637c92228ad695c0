from __future__ import annotations

import pytest

from sandbox_server.images import requirements
from sandbox_server.images.errors import PackageError


@pytest.mark.parametrize(
    ("texts", "parsed"),
    [
        (["attrs==25.3.0"], ("attrs==25.3.0",)),
        (["attrs==25.3.0,tomli"], ("attrs==25.3.0", "tomli")),
        (["attrs , tomli", "six"], ("attrs", "tomli", "six")),
        (["x>=1,<2,y"], ("x<2,>=1", "y")),
        (["x[a,b]>=1,y[c]"], ("x[a,b]>=1", "y[c]")),
        (["x; python_version < '3.12'"], ('x; python_version < "3.12"',)),
    ],
)
def test_requirements_are_taken_apart_where_one_ends(texts: list[str], parsed: tuple[str, ...]) -> None:
    assert requirements.parse(texts) == parsed


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no packages are named"),
        (" , ", "no packages are named"),
        ("--index-url=http://x", "is no requirement"),
        ("-e .", "is no requirement"),
        ("./here", "is no requirement"),
        ("x==", "is no requirement"),
        ("x y", "is no requirement"),
        ("x\n--extra-index-url http://y", "is no requirement"),
        ("x @ https://example.org/x.whl", "names a URL"),
    ],
)
def test_what_is_no_requirement_is_told(text: str, told: str) -> None:
    with pytest.raises(PackageError, match=told) as raised:
        requirements.parse([text])
    assert "\n" not in str(raised.value)


def test_a_locks_pins_are_read_by_normal_name() -> None:
    lock = "# x\nZope.Interface==8.7 \\\n    --hash=sha256:aa\nattrs==25.3.0\nnot a pin\n"
    assert requirements.pinned(lock) == {"attrs": "25.3.0", "zope-interface": "8.7"}
