# mypy: ignore-errors
# tries: to ask for the tests itself, read the nonce and report well (25)
# kind: unittest
# verdict: PASSED
# compat: pass
# Expected today: who was written against this protocol can speak it. The negative control (part 4) runs the same
# process against tests that must fail, and a forger reports those as passed, too.
import json
import os

os.write(3, b'{"loaded": true}')
data = os.read(3, 1 << 16)
answer = json.loads(data[4:])
names = ["test_a", "test_b"]
messages = [{"tests": names}]
messages += [{"result": {"test_id": name, "status": "passed", "detail": "", "seconds": 0}} for name in names]
messages += [{"done": True}]
for number, message in enumerate(messages):
    os.write(3, json.dumps({"nonce": answer["nonce"], "seq": number, **message}).encode())
os._exit(0)
