"""Which images a server takes, and what it says of those that it cannot take."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from sandbox_server.errors import ImageError
from sandbox_server.model import Limits
from sandbox_server.runtimes.docker import labels
from sandbox_server.runtimes.docker.engine import Image
from sandbox_server.runtimes.docker.runtime import DockerOptions, chosen, default_limits, definition_of

DEFINITION = '{"name": "python", "description": "d", "interpreter": "/python"}'


def image(name: str, digest: str = "1", agent: str = "ours", definition: str = DEFINITION) -> Image:
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
    words = {"name": "p", "description": "d", "interpreter": "/python", "profiles": {"lean": ["json"]}}
    words["limits"] = {"cpu_time_s": 240, "processes": 5000}
    definition = definition_of(image("python", definition=json.dumps(words)))
    assert (definition.interpreter, definition.profiles) == ("/python", {"lean": ["json"]})
    maximum = Limits(cpu_time=timedelta(seconds=600), processes=1024)
    assert default_limits(definition, maximum) == {"cpu_time": timedelta(seconds=240), "processes": 1024}


@pytest.mark.parametrize(
    "definition",
    ["", "{", "[]", "null", "{}", '{"interpreter": 1}', '"text"', DEFINITION[:-1] + ', "limits": {"speed": 1}}'],
)
def test_a_definition_that_says_nothing_useful(definition: str) -> None:
    with pytest.raises(ImageError, match=r"label io\.cupel\.definition of cupel/python:latest"):
        definition_of(image("python", definition=definition))


def test_an_image_without_a_definition() -> None:
    with pytest.raises(ImageError, match=r"label io\.cupel\.definition of cupel/x:latest"):
        definition_of(Image("cupel/x:latest", "1", {labels.ENVIRONMENT: "x"}, "2026", 1))
