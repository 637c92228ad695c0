# mypy: ignore-errors
# tries: to reach a network: metadata, the machine's listener, IPv6, DNS (34)
# kind: script
# verdict: RUNTIME_ERROR
# says: refused
import socket
import sys

host, port = sys.argv[1], int(sys.argv[2])
for family, address in (
    (socket.AF_INET, ("169.254.169.254", 80)),
    (socket.AF_INET, ("10.0.0.1", 443)),
    (socket.AF_INET, (host, port)),
    (socket.AF_INET, ("127.0.0.1", port)),
    (socket.AF_INET6, ("2001:db8::1", 80)),
    (socket.AF_INET6, ("::1", port)),
):
    with socket.socket(family) as client:
        client.settimeout(0.2)
        if client.connect_ex(address) == 0:
            sys.exit(0)
for target in (("8.8.8.8", 53), ("169.254.169.254", 53)):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        try:
            client.sendto(b"x", target)
            sys.exit(0)
        except OSError:
            pass
try:
    socket.getaddrinfo("example.com", 80)
    sys.exit(0)
except OSError:
    pass
print("refused")
sys.exit(1)
