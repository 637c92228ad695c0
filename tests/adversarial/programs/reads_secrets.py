# mypy: ignore-errors
# tries: the environment and the memory of the server, by /proc, its parent and what was inherited (35)
# kind: script
# verdict: RUNTIME_ERROR
# says: refused
import os
import sys

secret = sys.argv[7].encode()
if any(sys.argv[7] in value for value in os.environ.values()):
    sys.exit(0)
own = os.getpid()
for pid in {1, os.getppid(), *range(2, 400)} - {own}:
    for name in ("environ", "mem", "maps", "fd", "cwd", "root", "exe", "auxv", "cmdline", "stack", "syscall"):
        path = f"/proc/{pid}/{name}"
        try:
            if name == "fd":
                os.readlink(path + "/" + os.listdir(path)[0])
            elif name in ("cwd", "root", "exe"):
                os.readlink(path)
            else:
                with open(path, "rb") as file:
                    if not file.read(1 << 16) or name == "cmdline":
                        continue
        except OSError:
            continue
        print("could read", path)
        sys.exit(0)
# What it has itself been forked from: the zygote's memory, which must hold no secret of the server's.
with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb") as memory:
    for line in maps:
        area, permissions = line.split()[:2]
        if not permissions.startswith("rw") or "[v" in line:
            continue
        start, end = (int(part, 16) for part in area.split("-"))
        memory.seek(start)
        try:
            held = memory.read(end - start)
        except OSError:
            continue
        # The argument itself and this program's copies of it are there; an assignment of it is nowhere.
        if b"CUPEL_SECRET=" + secret in held:
            sys.exit(0)
print("refused")
sys.exit(1)
