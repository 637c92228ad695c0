"""The contract's messages to the model's records and back. Pure.

Nothing else in the server sees `_pb2`, but for the service and its streams, which carry the messages.
`requests` validates what clients send, `responses` writes what they get.
"""

from sandbox_server.wire.requests import Rules, read_sample
from sandbox_server.wire.responses import (
    write_capabilities,
    write_drain,
    write_failure,
    write_outcome,
    write_refusal,
    write_screening,
)

__all__ = [
    "Rules",
    "read_sample",
    "write_capabilities",
    "write_drain",
    "write_failure",
    "write_outcome",
    "write_refusal",
    "write_screening",
]
