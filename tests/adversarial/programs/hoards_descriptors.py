# mypy: ignore-errors
# tries: to have descriptors under way between sockets, which count for a user as a whole (29)
# kind: script
# verdict: RUNTIME_ERROR
# limits: processes=60
# says: hoarded
import array
import os
import socket
import sys
import time

for _ in range(8):
    if os.fork() == 0:
        break
pairs = []
null = os.open("/dev/null", os.O_RDONLY)
try:
    while True:
        pairs.append(socket.socketpair())
        for _ in range(8):
            pairs[-1][0].sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [null] * 250))])
except OSError:
    print("hoarded", flush=True)
time.sleep(0.6)
sys.exit(1)
