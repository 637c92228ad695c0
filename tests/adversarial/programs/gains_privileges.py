# mypy: ignore-errors
# tries: to become somebody else (35)
# kind: script
# verdict: RUNTIME_ERROR
# says: refused
import os
import subprocess
import sys

for call in (
    lambda: os.setuid(0),
    lambda: os.setgid(0),
    lambda: os.setgroups([0]),
    lambda: os.chown(".", 0, 0),
    lambda: os.nice(-5),
):
    try:
        call()
        sys.exit(0)
    except OSError:
        pass
open("suid", "wb").write(open("/bin/sh", "rb").read())
os.chmod("suid", 0o6755)
for command in (
    ["./suid", "-p", "-c", "id -u"],
    ["su", "-c", "id"],
    ["mount", "-t", "tmpfs", "x", "/tmp"],
    ["unshare", "-Ur", "id"],
):
    try:
        done = subprocess.run(command, capture_output=True, input=b"")
    except OSError:
        continue
    if done.returncode == 0 and done.stdout.strip() != b"1000":
        print("could", command, done.stdout)
        sys.exit(0)
with open("/proc/self/status") as file:
    for line in file:
        if line.startswith(("CapEff", "CapPrm", "CapInh", "CapAmb")) and int(line.split()[1], 16):
            sys.exit(0)
print("refused")
sys.exit(1)
