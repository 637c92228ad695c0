# mypy: ignore-errors
# tries: a regular expression that never ends (31)
# kind: script
# verdict: TIMEOUT_CPU
# limits: cpu_time=0.5
import re

re.match(r"(a+)+$", "a" * 100 + "b")
