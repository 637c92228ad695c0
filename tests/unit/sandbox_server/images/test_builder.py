from __future__ import annotations

import json
from importlib import metadata

import pytest

from sandbox_server import images
from sandbox_server.images import definition, digest, recipe
from sandbox_server.images.errors import BuildFailedError, DefinitionError, ImageMakingError, PackageError, RecipeError
from tests.unit.sandbox_server.images.fakes import FakeEngine

_LOCK = b"attrs==25.3.0 \\\n    --hash=sha256:aa\nsix==1.17.0 \\\n    --hash=sha256:bb\n"


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(
        files={
            "/opt/cupel/requirements.lock": _LOCK,
            "/opt/cupel/env/pyvenv.cfg": b"home = /usr/bin\nversion = 3.11.2\n",
        }
    )


def test_an_image_is_built_of_its_recipe_and_then_labelled(engine: FakeEngine) -> None:
    lines: list[str] = []
    options = images.BuildOptions("host", b"certificates", {"PIP_INDEX_URL": "http://index"}, use_cache=False)
    built = images.build(engine, "scientific", base_image="some:base", options=options, progress=lines.append)

    first, second = engine.builds
    assert first.files == {
        **recipe.load("scientific").files,
        **{f"agent/{path}": text for path, text in digest.agent_files().items()},
        "ca-bundle.pem": b"certificates",
    }
    assert first.arguments == {"PIP_INDEX_URL": "http://index", "BASE_IMAGE": "some:base"}
    assert (first.network, first.use_cache, first.tag) == ("host", False, None)
    assert second.tag == built.reference == "cupel/scientific:latest"
    assert list(second.files) == ["Dockerfile"]
    assert second.files["Dockerfile"].startswith(b"FROM sha256:")
    assert built.python_version == "3.11.2"
    assert built.packages == {"attrs": "25.3.0", "six": "1.17.0"}
    assert lines == ["Step 1/1 : FROM scratch"]


def test_labels_tell_what_is_in_the_image(engine: FakeEngine) -> None:
    images.build(engine, "scientific", base_image="some:base", tag="test")
    labels = dict(engine.builds[-1].labels)
    defined = recipe.load("scientific").definition
    version = metadata.version("cupel")
    assert definition.parse_json(labels.pop("io.cupel.definition"), "label") == defined
    assert json.loads(labels.pop("io.cupel.packages")) == {"attrs": "25.3.0", "six": "1.17.0"}
    assert labels == {
        "io.cupel.environment": "scientific",
        "io.cupel.agent": digest.agent_digest(),
        "io.cupel.lock": digest.lock_digest(_LOCK),
        "io.cupel.version": version,
        "io.cupel.python": "3.11.2",
        "org.opencontainers.image.title": "cupel/scientific",
        "org.opencontainers.image.description": defined.description,
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.version": version,
    }


def test_the_image_that_had_the_tag_is_let_go(engine: FakeEngine) -> None:
    earlier = engine.put("cupel/python:latest")
    images.build(engine, "python", base_image="some:base")
    assert engine.forgotten == [earlier.id]


def test_a_build_that_fails_is_told_in_pips_words(engine: FakeEngine) -> None:
    engine.fails = ("Collecting x", "ERROR: No matching distribution found for x")
    with pytest.raises(BuildFailedError) as raised:
        images.build(engine, "scientific", base_image="some:base")
    assert str(raised.value).splitlines() == [
        "cupel/scientific:latest was not built:",
        "ERROR: No matching distribution found for x",
    ]


def test_an_unknown_recipe_is_told_before_anything_is_built(engine: FakeEngine) -> None:
    with pytest.raises(RecipeError, match="no recipe for 'nosuch'"):
        images.build(engine, "nosuch", base_image="some:base")
    assert engine.builds == []


def test_an_image_whose_python_is_unknown_is_told(engine: FakeEngine) -> None:
    engine.files["/opt/cupel/env/pyvenv.cfg"] = b"home = /usr/bin\n"
    with pytest.raises(ImageMakingError, match="does not tell the version of its Python"):
        images.build(engine, "python", base_image="some:base")


def test_a_derived_image_has_its_parents_definition(engine: FakeEngine) -> None:
    parent = recipe.load("scientific").definition
    facts = engine.put("cupel/scientific:latest", {"io.cupel.definition": parent.as_json()})
    built = images.build_derived(engine, "scientific", ["attrs==25.3.0,six"], "with-attrs")

    first, second = engine.builds
    assert first.arguments == {"PARENT": facts.id}
    assert first.files["requirements.txt"] == b"attrs==25.3.0\nsix\n"
    assert "ca-bundle.pem" not in first.files
    expected = parent.renamed("with-attrs", "scientific with attrs==25.3.0, six")
    assert definition.parse_toml(first.files["environment.toml"].decode(), "file") == expected
    assert built.definition == expected
    assert second.tag == "cupel/with-attrs:latest"
    assert second.labels["io.cupel.environment"] == "with-attrs"
    assert second.labels["io.cupel.lock"] == digest.lock_digest(_LOCK)


def test_a_derived_image_ends_unprivileged_and_without_certificates(engine: FakeEngine) -> None:
    engine.put("cupel/python:latest", {"io.cupel.definition": recipe.load("python").definition.as_json()})
    images.build_derived(engine, "python", ["six"], "with-six")
    stages = engine.builds[0].files["Dockerfile"].decode().split("\nFROM ")
    assert stages[-1].rstrip().endswith("USER 1000:1000")
    assert "ca-bundle" in stages[1]
    assert not [stage for stage in stages[2:] if "ca-bundle" in stage]


@pytest.mark.parametrize(
    ("from_", "packages", "name", "error", "told"),
    [
        ("python", [], "new", PackageError, "no packages are named"),
        ("python", ["x y"], "new", PackageError, "'x y' is no requirement"),
        ("python", ["six"], "New", DefinitionError, "'New' cannot name an environment"),
        ("Python", ["six"], "new", DefinitionError, "'Python' cannot name an environment"),
        ("python", ["six"], "python", ImageMakingError, "choose another --name"),
        ("python", ["six"], "bigcodebench", ImageMakingError, "choose another --name"),
        ("absent", ["six"], "new", ImageMakingError, "there is no image cupel/absent:latest"),
        ("strange", ["six"], "new", DefinitionError, "cupel/strange:latest: is not JSON"),
    ],
)
def test_what_cannot_be_derived_is_told_before_anything_is_built(  # noqa: PLR0917 -- one for each column
    engine: FakeEngine, from_: str, packages: list[str], name: str, error: type[Exception], told: str
) -> None:
    engine.put("cupel/python:latest", {"io.cupel.definition": recipe.load("python").definition.as_json()})
    engine.put("cupel/strange:latest")
    with pytest.raises(error, match=told):
        images.build_derived(engine, from_, packages, name)
    assert engine.builds == []


def test_images_are_listed_with_what_their_labels_tell(engine: FakeEngine) -> None:
    images.build(engine, "scientific", base_image="some:base")
    engine.put("cupel/old:latest", {"io.cupel.environment": "old", "io.cupel.agent": "sha256:other"})
    engine.put("someone/elses:latest")
    old, new = images.list_images(engine)
    assert (old.name, old.tag, old.packages, old.python_version, old.agent_up_to_date) == (
        "old", "cupel/old:latest", None, "unknown", False,
    )  # fmt: skip
    assert new.as_mapping() == {
        "name": "scientific",
        "tag": "cupel/scientific:latest",
        "id": new.id,
        "size_bytes": 1 << 20,
        "python": "3.11.2",
        "packages": 2,
        "agent": "up to date",
    }
