# mypy: ignore-errors
# tries: to write anywhere but in its own places (35)
# kind: script
# verdict: RUNTIME_ERROR
# says: refused
import os
import sys

token = sys.argv[6]
for folder in ("/", "/usr", "/usr/lib", "/etc", "/var", "/run", "/proc", "/proc/sys/kernel", "/sys", "/dev", "/cell/..", "/.kept",
               os.path.dirname(os.__file__), os.path.dirname(sys.executable), "/proc/1/root/etc"):  # fmt: skip
    try:
        open(os.path.join(folder, "cupel-" + token), "w").close()
        sys.exit(0)
    except OSError:
        pass
for path in ("/etc/passwd", "/etc/hosts", sys.executable, os.__file__, "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger",
             "/proc/sys/vm/overcommit_memory", "/proc/sys/kernel/hostname", "/proc/1/mem",
             "/proc/1/comm", "/dev/kmsg", "/dev/mem", "/dev/sda", "/sys/fs/cgroup/release_agent"):  # fmt: skip
    try:
        with open(path, "r+b", buffering=0) as file:
            file.write(b"x")
        sys.exit(0)
    except OSError:
        pass
for name in ("oom_score_adj", "coredump_filter", "clear_refs", "timerslack_ns", "setgroups", "uid_map", "sched"):
    try:
        with open(f"/proc/1/{name}", "r+b", buffering=0) as file:
            file.write(b"1000")
        print("could write", name)
        sys.exit(0)
    except OSError:
        pass
for path in ("device", "/tmp/device"):
    try:
        os.mknod(path, 0o20666, os.makedev(1, 1))
        sys.exit(0)
    except OSError:
        pass
print("refused")
sys.exit(1)
