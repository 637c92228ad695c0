# mypy: ignore-errors
# tries: to be something else after exec, and then to hang (29)
# kind: script
# verdict: TIMEOUT_WALL
# compat: timeout
# limits: wall_time=0.5
import os

os.execv("/bin/sleep", ["python3", "1000"])
