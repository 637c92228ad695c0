# mypy: ignore-errors
# tries: memory in System V segments, which belong to no process (30)
# kind: script
# verdict: OUT_OF_MEMORY
# limits: memory_bytes=67108864
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
libc.shmdt.argtypes = [ctypes.c_void_p]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
held = []
while True:
    segment = libc.shmget(0, ctypes.c_size_t(8 << 20), 0o1600)
    if segment < 0:
        held.append(b"x" * (8 << 20))  # where nobody could count them they are refused
        continue
    place = libc.shmat(segment, None, 0)
    libc.memset(place, 1, 8 << 20)
    libc.shmdt(place)
