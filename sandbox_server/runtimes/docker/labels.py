"""What Cupel writes on its images and containers, so that it finds them again."""

from __future__ import annotations

ENVIRONMENT = "io.cupel.environment"
"""An image's: the name of its environment."""
AGENT = "io.cupel.agent"
"""An image's: the digest of the agent in it."""
LOCK = "io.cupel.lock"
"""An image's: the digest of the file that pins its packages."""
DEFINITION = "io.cupel.definition"
"""An image's: its environment.toml, as JSON."""

WORKER = "io.cupel.worker"
"""A container's: what it is for, "cells" or "single-use"."""
SERVER = "io.cupel.server"
"""A container's: the server it belongs to."""
