# mypy: ignore-errors
# tries: calls of the kernel that a program under judgement has no use for (35)
# kind: script
# verdict: RUNTIME_ERROR
# says: refused
import ctypes
import errno
import os
import sys

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
if os.uname().machine == "x86_64":
    calls = {"mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "ptrace": 101, "process_vm_readv": 310,
             "keyctl": 250, "add_key": 248, "request_key": 249, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323,
             "kexec_load": 246, "init_module": 175, "delete_module": 176, "reboot": 169, "swapon": 167, "settimeofday": 164,
             "unshare": 272, "setns": 308, "sethostname": 170, "personality": 135, "open_by_handle_at": 304, "iopl": 172,
             "syslog": 103, "modify_ldt": 154}  # fmt: skip
else:
    calls = {"mount": 40, "umount2": 39, "pivot_root": 41, "chroot": 51, "ptrace": 117, "process_vm_readv": 270,
             "keyctl": 219, "add_key": 217, "request_key": 218, "bpf": 280, "perf_event_open": 241, "userfaultfd": 282,
             "unshare": 97, "setns": 268, "sethostname": 161, "personality": 92, "syslog": 116}  # fmt: skip
calls.update({"clone3": 435, "io_uring_setup": 425, "io_uring_enter": 426, "open_tree": 428, "move_mount": 429, "fsopen": 430,
              "fsmount": 432, "mount_setattr": 442, "pidfd_getfd": 438})  # fmt: skip
for name, number in calls.items():
    ctypes.set_errno(0)
    if libc.syscall(number, 0, 0, 0, 0, 0, 0) != -1 or ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS):
        print("went through:", name, os.strerror(ctypes.get_errno()))
        sys.exit(0)
print("refused")
sys.exit(1)
