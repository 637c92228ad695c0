"""Scores: from what became of samples to pass@k with intervals. Pure; no input or output."""

from __future__ import annotations

from orchestrator.scoring.intervals import Score, score
from orchestrator.scoring.pass_at_k import pass_at_k
from orchestrator.scoring.summary import Difference, Summary, summarize

__all__ = ["Difference", "Score", "Summary", "pass_at_k", "score", "summarize"]
