# mypy: ignore-errors
# tries: to slow, bind, limit and end its cell's first process (29)
# kind: script
# verdict: PASSED
# says: alive
# What it does to that process it does to its own cell alone; whether it does or may not, its neighbours do not notice.
import os
import resource
import signal

for harm in (
    lambda: os.setpriority(os.PRIO_PROCESS, 1, 19),
    lambda: os.sched_setaffinity(1, {0}),
    lambda: os.sched_setscheduler(1, os.SCHED_IDLE, os.sched_param(0)),
    lambda: [
        resource.prlimit(1, kind, (1, 1)) for kind in (resource.RLIMIT_NOFILE, resource.RLIMIT_AS, resource.RLIMIT_CPU)
    ],
    lambda: os.pidfd_open(1),
    lambda: signal.pidfd_send_signal(os.pidfd_open(1), signal.SIGKILL),
    lambda: os.setpgid(1, 1),
):
    try:
        harm()
    except (OSError, ValueError):
        pass
print("alive")
