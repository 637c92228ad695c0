# mypy: ignore-errors
# tries: to reach Unix and abstract sockets of the machine (34)
# kind: script
# verdict: RUNTIME_ERROR
# says: refused
import socket
import sys

for address in ("\0" + sys.argv[3], sys.argv[4], sys.argv[5], "/run/docker.sock", "/var/run/docker.sock",
                "/run/dbus/system_bus_socket"):  # fmt: skip
    with socket.socket(socket.AF_UNIX) as client:
        if client.connect_ex(address) == 0:
            sys.exit(0)
with open("/proc/net/unix") as file:
    if sys.argv[3] in file.read():
        sys.exit(0)
print("refused")
sys.exit(1)
