# mypy: ignore-errors
# tries: clocks that stand still and alarms that never ring (26)
# kind: unittest
# verdict: TIMEOUT_CPU
# compat: timeout
# limits: cpu_time=0.5
import signal
import time

time.time = time.monotonic = time.perf_counter = lambda: 0.0
signal.setitimer(signal.ITIMER_REAL, 0)
signal.signal(signal.SIGALRM, signal.SIG_IGN)
signal.signal(signal.SIGXCPU, signal.SIG_IGN)


def task_func(x):
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass
