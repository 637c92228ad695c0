"""Makes `python -m orchestrator` the command `cupel`."""

from orchestrator.cli import main

main(prog_name="cupel")
