# mypy: ignore-errors
# tries: to speak on the report's channel as a script, which has nothing to report (25)
# kind: script
# verdict: TAMPERED
import os

for descriptor in range(3, 1024):
    try:
        os.write(descriptor, b'{"done": true}')
    except OSError:
        pass
