"""What is installed in an environment: its packages, what can be imported of them, and a digest that pins both.

The folders of `sys.path` are listed and hardly a file in them is read: a package's name and version stand in the name
of its metadata, and what lies beside it is what Python would import. So 200 packages take milliseconds, where
`importlib.metadata` reads a file for each. What an import hook adds is not seen.
"""

from __future__ import annotations

import importlib.machinery
import json
import os
import re
import sys
from typing import Any, Dict, Iterator, Optional, Set, Tuple

# What a server takes of a `ready` frame (its `runtimes.facts`); what is beyond that is left out here.
_MAXIMUM_PACKAGES, _MAXIMUM_MODULES = 5_000, 100_000
_MAXIMUM_CHARACTERS = 200
_METADATA_CHARACTERS = 64 << 10
_METADATA = frozenset({"dist-info", "egg-info"})
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*\Z")
_VERSION = re.compile(r"[A-Za-z0-9.!+_-]+\Z")
_MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_SUFFIXES = tuple(importlib.machinery.all_suffixes())


def take() -> Dict[str, Any]:
    """Returns `digest` ("sha256:..."), `packages` (name, normalized, to version) and `modules` (top-level names).

    A child looks: what that takes would otherwise be in the memory that each cell is forked from.
    """
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(read_end)
            with open(write_end, "w", encoding="ascii") as file:
                json.dump(_look(), file)
            code = 0
        finally:
            os._exit(code)
    os.close(write_end)
    with open(read_end, encoding="ascii") as file:
        text = file.read()
    os.waitpid(pid, 0)
    taken: Dict[str, Any] = json.loads(text)
    return taken


def _look() -> Dict[str, Any]:
    import hashlib  # noqa: PLC0415 -- see take

    packages: Dict[str, str] = {}
    modules: Set[str] = set()
    for folder in _folders():
        _list(folder, packages, modules)
    modules -= set(getattr(sys, "stdlib_module_names", ()))  # those are found before what has their name here
    lines = [sys.version, sys.platform, os.uname().machine]
    lines += sorted("%s==%s" % pair for pair in packages.items())
    return {
        "digest": "sha256:" + hashlib.sha256("\n".join(lines).encode("utf-8", "replace")).hexdigest(),
        "packages": dict(sorted(packages.items())[:_MAXIMUM_PACKAGES]),
        "modules": sorted(modules)[:_MAXIMUM_MODULES],
    }


def _folders() -> Iterator[str]:
    """Yields the folders of `sys.path` in its order, without the standard library's."""
    library = os.path.dirname(os.path.abspath(os.__file__))
    for path in dict.fromkeys(os.path.abspath(path) for path in sys.path if path):
        if path not in {library, os.path.join(library, "lib-dynload")} and os.path.isdir(path):
            yield path


def _list(folder: str, packages: Dict[str, str], modules: Set[str]) -> None:
    try:
        entries = list(os.scandir(folder))
    except OSError:  # a folder that nobody may read holds nothing that could be imported
        return
    for entry in entries:
        stem, dot, suffix = entry.name.rpartition(".")
        if suffix in _METADATA and dot:
            found = _package(entry.path, stem)
            if found is not None:
                packages.setdefault(*found)  # the first on the path is the one that is imported
            continue
        module = entry.name.partition(".")[0]
        if module.startswith("__") or len(module) > _MAXIMUM_CHARACTERS or not _MODULE.match(module):
            continue
        if entry.name.endswith(_SUFFIXES) or (not dot and entry.is_dir()):
            modules.add(module)


def _package(path: str, stem: str) -> Optional[Tuple[str, str]]:
    """Returns the normalized name and the version of a package, None where its metadata has neither."""
    parts = stem.split("-")
    # "name-version.dist-info"; "name-version-py3.11.egg-info"; a development install's has no version.
    is_plain = len(parts) == 2 or (len(parts) == 3 and parts[2].startswith("py"))
    name, version = (parts[0], parts[1]) if is_plain else _read(path)
    name = re.sub(r"[-_.]+", "-", name).lower()
    fits = max(len(name), len(version)) <= _MAXIMUM_CHARACTERS and _NAME.match(name) and _VERSION.match(version)
    return (name, version) if fits else None


def _read(path: str) -> Tuple[str, str]:
    """Returns the name and the version that a package's metadata tells; both may be empty."""
    fields = {"name": "", "version": ""}
    for file in (path, os.path.join(path, "METADATA"), os.path.join(path, "PKG-INFO")):
        if not os.path.isfile(file):
            continue
        try:
            with open(file, encoding="utf-8", errors="replace") as lines:
                text = lines.read(_METADATA_CHARACTERS)
        except OSError:  # not readable for the agent, so neither for a cell
            continue
        for line in text.partition("\n\n")[0].splitlines():
            field, _, value = line.partition(":")
            if not fields.get(field.lower(), "x"):
                fields[field.lower()] = value.strip()
    return fields["name"], fields["version"]
