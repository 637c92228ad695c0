"""Generates the typed stubs of `proto/` into the client package; `--check` only says whether they are stale.

The stubs are committed so that neither users nor CI need protoc. Generated modules import each other by the
proto package (`from cupel.sandbox.v1 import ...`), which no installed package provides; the one rewrite below
makes those imports relative.
"""

from __future__ import annotations

import argparse
import importlib.resources
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "clients/python/cupel_client/gen"
SOURCE = "cupel/sandbox/v1/sandbox_service.proto"
HEADER = '"""Generated from proto/ by `make proto`; do not edit."""\n'


def generate(folder: Path) -> dict[str, str]:
    """Returns the generated files by name, written through `folder`."""
    include = importlib.resources.files("grpc_tools") / "_proto"
    arguments = [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / 'proto'}", f"-I{include}"]
    plugins = Path(sys.executable).parent
    arguments += [f"--plugin={name}={plugins / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")]
    arguments += [f"--{kind}_out={folder}" for kind in ("python", "mypy", "grpc_python", "mypy_grpc")]
    # In a process of its own: the plugins announce each file on the terminal.
    result = subprocess.run([*arguments, SOURCE], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise SystemExit(result.stderr)
    files = {"__init__.py": HEADER}
    for path in sorted((folder / SOURCE).parent.iterdir()):
        text = path.read_text(encoding="utf-8")
        text = text.replace("from cupel.sandbox.v1 import", "from cupel_client.gen import")
        files[path.name] = text
    return files


def main() -> int:
    """Writes the stubs, or compares them with those that stand. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if stubs are stale")
    check: bool = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        files = generate(Path(folder))
    standing = {path.name: path.read_text(encoding="utf-8") for path in TARGET.glob("*.py*")}
    if check:
        names = files.keys() | standing.keys()
        stale = sorted(name for name in names if files.get(name) != standing.get(name))
        if stale:
            sys.stderr.write(f"stale stubs: {', '.join(stale)}; run `make proto`\n")
        return 1 if stale else 0
    TARGET.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (TARGET / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
