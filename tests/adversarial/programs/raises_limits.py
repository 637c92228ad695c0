# mypy: ignore-errors
# tries: to raise its own limits (29)
# kind: script
# verdict: RUNTIME_ERROR
# says: refused
import resource
import sys

for name in dir(resource):
    if not name.startswith("RLIMIT_"):
        continue
    kind = getattr(resource, name)
    soft, hard = resource.getrlimit(kind)
    if hard == resource.RLIM_INFINITY:
        continue
    for wanted in (hard + 1, resource.RLIM_INFINITY):
        try:
            resource.setrlimit(kind, (wanted, wanted))
            sys.exit(0)
        except (ValueError, OSError):
            pass
print("refused")
sys.exit(1)
