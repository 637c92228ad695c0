# mypy: ignore-errors
# tries: a whole report, before the nonce is known, into every descriptor (25)
# kind: unittest
# verdict: TAMPERED
# compat: timeout
import json
import os

for descriptor in range(3, 256):
    for message in (
        {"loaded": True},
        {"nonce": "0", "seq": 0, "tests": ["test_a", "test_b"]},
        {"nonce": "0", "seq": 1, "result": {"test_id": "test_a", "status": "passed", "detail": "", "seconds": 0}},
        {"nonce": "0", "seq": 2, "done": True},
    ):
        try:
            os.write(descriptor, json.dumps(message).encode())
        except OSError:
            break
os._exit(0)
