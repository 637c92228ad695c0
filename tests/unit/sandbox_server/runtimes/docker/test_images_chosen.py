"""Which images a server takes, and what it says of those that it cannot take."""

from __future__ import annotations

import json

import pytest
from structlog.testing import capture_logs

from sandbox_server.errors import ImageError
from sandbox_server.runtimes.docker import labels
from sandbox_server.runtimes.docker.engine import Image
from sandbox_server.runtimes.docker.runtime import DockerOptions, chosen, definition_of


def image(name: str, digest: str = "1", agent: str = "ours", definition: str = '{"interpreter": "/python"}') -> Image:
    marks = {labels.ENVIRONMENT: name, labels.AGENT: agent, labels.DEFINITION: definition}
    return Image(f"cupel/{name}:latest", digest, marks, created="2026", size=1)


def test_all_that_there_are() -> None:
    found = chosen([image("python"), image("scientific")], DockerOptions("ours"))
    assert list(found) == ["python", "scientific"]


def test_the_newest_of_a_name() -> None:
    found = chosen([image("python", "newer"), image("python", "older", agent="another")], DockerOptions("ours"))
    assert found["python"].digest == "newer"


def test_those_that_were_named_in_their_order() -> None:
    images = [image("a"), image("b"), image("c", agent="another")]
    assert list(chosen(images, DockerOptions("ours", ("b", "a")))) == ["b", "a"]


def test_none_at_all() -> None:
    with pytest.raises(ImageError, match="build some with `cupel-sandbox images build`"):
        chosen([], DockerOptions("ours"))


def test_one_that_was_named_and_is_missing() -> None:
    with pytest.raises(ImageError, match=r"no image of x, y; it has python.*images build x y` builds what is missing"):
        chosen([image("python")], DockerOptions("ours", ("python", "x", "y")))


def test_one_that_holds_another_agent() -> None:
    images = [image("new"), image("old", agent="another"), image("older", agent="")]
    words = r"images of old, older hold the agent of another version.*build old older`"
    with pytest.raises(ImageError, match=words):
        chosen(images, DockerOptions("ours", ("new", "old", "older")))
    with pytest.raises(ImageError, match=words):
        chosen(images[1:], DockerOptions("ours"))


def test_one_that_holds_another_agent_is_left_out_if_nobody_named_it() -> None:
    with capture_logs() as told:
        assert list(chosen([image("new"), image("old", agent="another")], DockerOptions("ours"))) == ["new"]
    assert [one["event"] for one in told] == ["images_left_out"]


def test_a_definition_is_read() -> None:
    definition = {"interpreter": "/python", "profiles": {"lean": ["json"]}}
    assert definition_of(image("python", definition=json.dumps(definition))) == definition


@pytest.mark.parametrize("definition", ["", "{", "[]", "null", "{}", '{"interpreter": 1}', '"text"'])
def test_a_definition_that_says_nothing_useful(definition: str) -> None:
    with pytest.raises(ImageError, match=r"cupel/python:latest has no usable label io.cupel.definition"):
        definition_of(image("python", definition=definition))


def test_an_image_without_a_definition() -> None:
    with pytest.raises(ImageError, match="no usable label"):
        definition_of(Image("cupel/x:latest", "1", {labels.ENVIRONMENT: "x"}, "2026", 1))
