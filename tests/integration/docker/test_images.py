"""Images built for real: what is in them, and what is not.

Packages come from an index of our own, so that nothing depends on a network.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import io
import json
import tarfile
import threading
import zipfile
from typing import IO, TYPE_CHECKING, Any, cast

import pytest

from sandbox_server import images
from sandbox_server.images import base, definition, digest, names, recipe
from sandbox_server.images.errors import BuildFailedError, ImageMakingError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox_server.runtimes.docker.building import ImageEngine

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]
_TAG = "made-by-tests"
_DERIVED = "python-derived-by-tests"
_CERTIFICATES = b"# these certificates must not be found in an image\n"


def _wheel(version: str, module: str) -> tuple[str, bytes]:
    """Returns name and content of a wheel of the package "tiny"."""
    info = f"tiny-{version}.dist-info"
    files = {
        f"{module}.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for path, text in files.items():
        hashed = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={hashed},{len(text)}\n"
    files[f"{info}/RECORD"] = record + f"{info}/RECORD,,\n"
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return f"tiny-{version}-py3-none-any.whl", stream.getvalue()


_WHEELS = dict([_wheel("1.0", "tiny_old"), _wheel("2.0", "tiny")])


class _Index(http.server.BaseHTTPRequestHandler):
    """A package index that has one package, in two versions."""

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        if self.path == "/simple/tiny/":
            self._answer("text/html", "".join(f'<a href="/{one}">{one}</a>' for one in _WHEELS).encode())
        elif name in _WHEELS:
            self._answer("application/zip", _WHEELS[name])
        else:
            self.send_error(404)

    def _answer(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- as it is inherited
        """Says nothing: pip's own words are what a test looks at."""


@pytest.fixture(scope="module")
def options() -> Iterator[images.BuildOptions]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Index) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            index = f"http://127.0.0.1:{server.server_port}/simple"
            yield images.BuildOptions("host", _CERTIFICATES, {"PIP_INDEX_URL": index, "PIP_EXTRA_INDEX_URL": index})
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def python(engine: ImageEngine, options: images.BuildOptions) -> Iterator[images.BuiltImage]:
    """The image `python` under a tag of the tests' own."""
    ground = base.ensure(engine, None, print)
    built = images.build(engine, "python", base_image=ground, options=options, tag=_TAG)
    yield built
    engine.untag(built.reference)


@pytest.fixture(scope="module")
def derived(
    engine: ImageEngine, options: images.BuildOptions, python: images.BuiltImage
) -> Iterator[images.BuiltImage]:
    """`python` with the older version of the package "tiny"."""
    assert python
    built = images.build_derived(engine, "python", ["tiny==1.0"], _DERIVED, options=options, tag=_TAG, parent_tag=_TAG)
    yield built
    engine.untag(built.reference)


def _run(engine: ImageEngine, image: images.BuiltImage, *command: str) -> str:
    return _run_in(engine, image.id, *command)


def _run_in(engine: ImageEngine, image: str, *command: str) -> str:
    """Runs a command in a container as hardened as a worker's, and returns what it writes."""
    output: bytes = engine._client.containers.run(
        image, list(command[1:]), entrypoint=command[0], network_mode="none", read_only=True, remove=True,
        cap_drop=["ALL"], tmpfs={"/tmp": ""}, security_opt=["no-new-privileges"], stderr=True,
    )  # fmt: skip
    return output.decode()


def _labels(engine: ImageEngine, image: images.BuiltImage) -> dict[str, str]:
    facts = engine.find(image.id)
    assert facts is not None
    return dict(facts.labels)


def _layers(engine: ImageEngine, image: images.BuiltImage) -> Iterator[tuple[str, bytes]]:
    """Yields path and content of every file of every layer, those that a later layer removes included."""
    saved = io.BytesIO(b"".join(engine._client.images.get(image.id).save()))
    with tarfile.open(fileobj=saved) as archive:
        manifest = json.load(cast("IO[bytes]", archive.extractfile("manifest.json")))
        for name in manifest[0]["Layers"]:
            with tarfile.open(fileobj=archive.extractfile(name)) as layer:
                for member in layer.getmembers():
                    file = layer.extractfile(member) if member.isfile() else None
                    yield member.name, file.read() if file is not None else b""


def test_the_image_runs_as_an_unprivileged_user(engine: ImageEngine, python: images.BuiltImage) -> None:
    assert _run(engine, python, "id").split()[:2] == ["uid=1000(cupel)", "gid=1000(cupel)"]
    # What it may not even enter, find tells of, and fails.
    find = "find /opt /usr /etc /var -xdev -writable ! -type l ! -path /var/tmp ! -path /var/lock 2>/dev/null; true"
    assert _run(engine, python, "sh", "-c", find) == ""


def test_no_program_of_the_image_gives_rights(engine: ImageEngine, python: images.BuiltImage) -> None:
    found = _run(engine, python, "sh", "-c", "find / -xdev -type f -perm /6000 2>/dev/null; true")
    assert found == ""


def test_the_image_has_the_agent_and_nothing_else_of_the_project(
    engine: ImageEngine, python: images.BuiltImage
) -> None:
    listed = _run(
        engine, python, "find", "/opt/cupel", "-path", "/opt/cupel/env", "-prune", "-o", "-type", "f", "-print"
    )
    sources = {f"/opt/cupel/agent/{path}" for path in digest.agent_files()}
    others = {"/opt/cupel/environment.toml", "/opt/cupel/requirements.lock"}
    found = set(listed.splitlines())
    assert {path for path in found if not path.endswith(".pyc")} == sources | others
    summed = _run(engine, python, "sha256sum", *sorted(sources)).splitlines()
    assert [line.split()[0] for line in summed] == [
        hashlib.sha256(text).hexdigest() for text in digest.agent_files().values()
    ]
    # Compiled, all of it: a worker cannot keep what it compiles.
    assert len(found) == 2 * len(sources) + len(others)


def test_the_agents_entry_point_starts(engine: ImageEngine, python: images.BuiltImage) -> None:
    entry = engine._client.images.get(python.id).attrs["Config"]["Entrypoint"]
    assert entry == ["/opt/cupel/env/bin/python", "-s", "-B", "/opt/cupel/agent/launch.py"]
    seen = _run(
        engine, python, entry[0], "-s", "-B", "-c", "import sys; print(sys.prefix, sys.version_info[:2] >= (3, 8))"
    )
    assert seen.split() == ["/opt/cupel/env", "True"]


def test_the_image_has_the_standard_library_and_pip_only(engine: ImageEngine, python: images.BuiltImage) -> None:
    listed = _run(engine, python, "/opt/cupel/env/bin/python", "-m", "pip", "list", "--format=json", "--no-cache-dir")
    assert [one["name"] for one in json.loads(listed.splitlines()[0])] == ["pip"]
    assert python.packages == {}


def test_no_cache_and_no_certificates_are_in_any_layer(
    engine: ImageEngine, python: images.BuiltImage, derived: images.BuiltImage
) -> None:
    for image in (python, derived):
        files = dict(_layers(engine, image))
        assert any(path.endswith("opt/cupel/agent/launch.py") for path in files)
        assert not [path for path, content in files.items() if _CERTIFICATES in content]
        caches = ("/.cache/pip", "var/lib/apt/lists/", "var/cache/apt/archives/", "ca-bundle.pem")
        # Debian keeps empty folders and locks there.
        assert not [path for path, content in files.items() if content and any(one in path for one in caches)]
        history = json.dumps(engine._client.images.get(image.id).history())
        assert "127.0.0.1" not in history


def test_labels_tell_what_is_in_it(engine: ImageEngine, python: images.BuiltImage) -> None:
    labels = _labels(engine, python)
    assert labels["io.cupel.environment"] == "python"
    assert labels["io.cupel.agent"] == digest.agent_digest()
    assert labels["io.cupel.lock"] == digest.lock_digest(recipe.load("python").lock)
    assert definition.parse_json(labels["io.cupel.definition"], "label") == recipe.load("python").definition
    version = _run(engine, python, "/opt/cupel/env/bin/python", "-V").split()[1]
    assert labels["io.cupel.python"] == python.python_version == version


def test_an_image_is_listed_as_up_to_date(engine: ImageEngine, python: images.BuiltImage) -> None:
    listed = {one.tag: one for one in images.list_images(engine)}
    assert listed[python.reference].agent_up_to_date
    assert listed[python.reference].id == python.id


def test_building_again_gives_the_same_image(
    engine: ImageEngine, options: images.BuildOptions, python: images.BuiltImage
) -> None:
    ground = base.ensure(engine, None, print)
    assert images.build(engine, "python", base_image=ground, options=options, tag=_TAG).id == python.id


def test_a_derived_image_has_the_package_and_a_lock_of_it(
    engine: ImageEngine, python: images.BuiltImage, derived: images.BuiltImage
) -> None:
    said = _run(engine, derived, "/opt/cupel/env/bin/python", "-c", "import tiny_old; print(tiny_old.VERSION)")
    assert said == "1.0\n"
    assert derived.packages == {"tiny": "1.0"}
    lock = engine.read_file(derived.id, "/opt/cupel/requirements.lock")
    assert lock == b"tiny==1.0\n"
    labels = _labels(engine, derived)
    assert labels["io.cupel.lock"] == digest.lock_digest(lock)
    assert labels["io.cupel.environment"] == _DERIVED
    expected = python.definition.renamed(_DERIVED, "python with tiny==1.0")
    assert definition.parse_json(labels["io.cupel.definition"], "label") == expected
    assert (
        definition.parse_toml(engine.read_file(derived.id, "/opt/cupel/environment.toml").decode(), "file") == expected
    )
    assert _run(engine, derived, "id", "-u") == "1000\n"


def test_what_a_newer_version_replaces_is_gone(
    engine: ImageEngine, options: images.BuildOptions, derived: images.BuiltImage
) -> None:
    newer = f"{_DERIVED}-newer"
    built = images.build_derived(
        engine, derived.definition.name, ["tiny>=2"], newer, options=options, tag=_TAG, parent_tag=_TAG
    )
    try:
        listed = _run(engine, built, "find", "/opt/cupel/env/lib", "-name", "tiny*", "-printf", "%f\\n")
        assert {name for name in listed.split() if not name.endswith(".pyc")} == {"tiny.py", "tiny-2.0.dist-info"}
        assert built.packages == {"tiny": "2.0"}
    finally:
        engine.untag(built.reference)


def test_a_package_that_is_nowhere_is_told_in_pips_words(
    engine: ImageEngine, options: images.BuildOptions, python: images.BuiltImage
) -> None:
    assert python
    with pytest.raises(BuildFailedError) as raised:
        images.build_derived(
            engine, "python", ["no-such-package"], f"{_DERIVED}-absent", options=options, tag=_TAG, parent_tag=_TAG
        )
    first, *told = str(raised.value).splitlines()
    assert first == f"cupel/{_DERIVED}-absent:{_TAG} was not built:"
    assert "ERROR: No matching distribution found for no-such-package" in told
    assert len(told) <= 7


def test_a_file_that_an_image_lacks_is_told(engine: ImageEngine, python: images.BuiltImage) -> None:
    with pytest.raises(ImageMakingError, match="has no /opt/absent"):
        engine.read_file(python.id, "/opt/absent")
    with pytest.raises(ImageMakingError, match="is no plain file"):
        engine.read_file(python.id, "/opt/cupel")


def test_nothing_of_building_is_left_over(engine: ImageEngine, python: images.BuiltImage) -> None:
    before = {one["Id"] for one in engine._client.api.containers(all=True)}
    engine.read_file(python.id, "/opt/cupel/environment.toml")
    with contextlib.suppress(ImageMakingError):
        engine.read_file(python.id, "/opt/absent")
    left = {one["Id"] for one in engine._client.api.containers(all=True, filters={"ancestor": python.id})}
    assert left <= before


# What a zygote does: it imports a profile and forks. A thread of a library's would not be in the child, and what it
# holds would stay locked.
_PRELOAD = """
import importlib, os, sys, tomllib
with open("/opt/cupel/environment.toml", "rb") as file:
    profiles = tomllib.load(file)["profiles"]
for name, modules in profiles.items():
    if os.fork() == 0:
        for module in modules:
            importlib.import_module(module)
            threads = len(os.listdir("/proc/self/task"))
            if threads != 1:
                print(name, module, "leaves", threads, "threads", flush=True)
        print(name, "imported", flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.docker(name))
        for name in recipe.names()
        if recipe.load(name).definition.profiles
    ],
)
def test_every_profile_can_be_imported_and_forked(engine: ImageEngine, name: str) -> None:
    interpreter = recipe.load(name).definition.interpreter
    said = _run_in(engine, names.reference(name), interpreter, "-s", "-B", "-W", "ignore", "-c", _PRELOAD)
    expected = [f"{profile} imported" for profile in recipe.load(name).definition.profiles]
    assert [
        line for line in said.splitlines() if line.startswith(tuple(recipe.load(name).definition.profiles))
    ] == expected


_FORKED = """
import os, sys
import tensorflow as tf
if os.fork() == 0:
    model = tf.keras.Sequential([tf.keras.layers.Dense(1, input_shape=(3,))])
    model.compile("adam", "mse")
    model.fit(tf.ones((8, 3)), tf.ones(8), epochs=1, verbose=0)
    print("trained", flush=True)
    os._exit(0)
os.wait()
"""


@pytest.mark.docker("bigcodebench")
def test_tensorflow_trains_in_a_process_forked_after_its_import(engine: ImageEngine) -> None:
    interpreter = recipe.load("bigcodebench").definition.interpreter
    reference = names.reference("bigcodebench")
    assert (
        _run_in(engine, reference, interpreter, "-s", "-B", "-W", "ignore", "-c", _FORKED).splitlines()[-1] == "trained"
    )
