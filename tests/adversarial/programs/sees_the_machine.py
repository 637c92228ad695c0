# mypy: ignore-errors
# tries: what tells of the machine and its other users (35)
# kind: script
# verdict: RUNTIME_ERROR
# says: refused
import os
import sys

for path in ("/root", "/home", "/etc/shadow", "/etc/machine-id", "/sys/class", "/sys/fs/cgroup", "/proc/kcore", "/proc/kallsyms_",
             "/var/lib", "/var/log", "/var/run/secrets/kubernetes.io/serviceaccount/token", "/dev/kmsg", "/dev/mem", "/boot",
             "/.old", sys.argv[5], os.path.dirname(sys.argv[5])):  # fmt: skip
    if sys.base_prefix.startswith(path + "/") or sys.prefix.startswith(path + "/"):
        continue  # as much as leads to the interpreter is shown, and may be
    try:
        found = os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(10)
    except OSError:
        continue
    if found:
        print("could see", path)
        sys.exit(0)
if os.uname().nodename != "cell" or os.getuid() != 1000:
    sys.exit(0)
print("refused")
sys.exit(1)
