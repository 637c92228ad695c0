# mypy: ignore-errors
# tries: one huge power (31)
# kind: script
# verdict: TIMEOUT_CPU
# limits: cpu_time=0.5
9**9**9
