# mypy: ignore-errors
# tries: the calling conventions of 32-bit x86 and x32, whose numbers a filter may not know (35)
# kind: script
# verdict: RUNTIME_ERROR
# says: refused
import ctypes
import errno
import mmap
import os
import sys

if os.uname().machine != "x86_64":
    print("refused")
    sys.exit(1)
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
for number in (0x40000000 + 272, 0x40000000 + 39, 0x40000000 + 165):
    if libc.syscall(number, 0x10000000) != -1 or ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS):
        sys.exit(0)
pid = os.fork()
if pid == 0:
    # mov eax, 20 (getpid of 32-bit x86); int 0x80; ret
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")
    ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
    os._exit(0)
if os.wait()[1] == 0:
    sys.exit(0)
print("refused")
sys.exit(1)
