# mypy: ignore-errors
# tries: namespaces of its own, by unshare, clone, clone3 and setns (35)
# kind: script
# verdict: RUNTIME_ERROR
# says: refused
import ctypes
import os
import sys

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
clone = 56 if os.uname().machine == "x86_64" else 220
for flag in (0x10000000, 0x20000000, 0x00020000, 0x40000000, 0x08000000, 0x04000000, 0x02000000, 0x00000080):
    if libc.unshare(flag) == 0:
        sys.exit(0)
    if flag != 0x80:
        pid = libc.syscall(clone, flag | 17, None, None, None, None)
        if pid == 0:
            os._exit(0)
        if pid > 0:
            sys.exit(0)


class Arguments(ctypes.Structure):
    _fields_ = [(f"f{number}", ctypes.c_uint64) for number in range(11)]


arguments = Arguments(f0=0x10000000, f4=17)
if libc.syscall(435, ctypes.byref(arguments), ctypes.sizeof(arguments)) != -1:
    sys.exit(0)
for name in os.listdir("/proc/self/ns"):
    for pid in ("1", "self"):
        try:
            descriptor = os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY)
        except OSError:
            continue
        if libc.setns(descriptor, 0) == 0:
            sys.exit(0)
print("refused")
sys.exit(1)
