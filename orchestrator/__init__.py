"""The orchestrator: streams samples to sandbox servers and turns their verdicts into scores."""
