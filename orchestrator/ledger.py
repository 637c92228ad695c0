"""What a run knows of its judged samples."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.model import Result


@dataclass(slots=True)
class Ledger:
    """Keeps of each outcome what scores need; the outcome itself stays in the journal."""

    results: dict[str, Result] = field(default_factory=dict)
    missing_walls: Counter[str] = field(default_factory=Counter)
    environments: Counter[str] = field(default_factory=Counter)

    def enter(self, result: Result) -> None:
        """Takes a result; a sample counts once."""
        if result.sample_id not in self.results:
            outcome = result.outcome
            walls = outcome.get("missing_walls")
            self.missing_walls.update(walls if isinstance(walls, list) else ())
            if "environment" in outcome:
                self.environments[f"{outcome['environment']} ({outcome.get('environment_digest', 'no digest')})"] += 1
        views_differ = result.compat_passed != result.strict_passed
        kept = {"strict": result.outcome.get("strict", {})} if views_differ else {}
        self.results[result.sample_id] = replace(result, details={}, outcome=kept)
