# mypy: ignore-errors
# tries: to overflow the C stack
# kind: script
# verdict: CRASHED
import sys

sys.setrecursionlimit(10**9)


class Deep:
    def __repr__(self):
        return repr(self)


deep = []
for _ in range(10**6):
    deep = [deep]
repr(deep)
