# mypy: ignore-errors
# tries: sockets of families that no network namespace holds: AF_VSOCK, AF_ALG, AF_PACKET (34)
# kind: script
# verdict: RUNTIME_ERROR
# says: refused
import socket
import sys

for family in range(46):
    if family in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK):
        continue
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
        try:
            socket.socket(family, kind)
            sys.exit(0)
        except OSError:
            pass
for family, protocol in ((socket.AF_INET, socket.IPPROTO_ICMP), (socket.AF_INET, socket.IPPROTO_TCP)):
    try:
        socket.socket(family, socket.SOCK_RAW, protocol)
        sys.exit(0)
    except OSError:
        pass
print("refused")
sys.exit(1)
