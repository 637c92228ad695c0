# mypy: ignore-errors
# tries: a loop in C that no signal handler of Python's ends (31)
# kind: script
# verdict: TIMEOUT_CPU
# limits: cpu_time=0.5
sum(range(10**13))
