# mypy: ignore-errors
# tries: output that is no text: NULs, escapes, invalid UTF-8 (27)
# kind: script
# verdict: RUNTIME_ERROR
import sys

sys.stdout.buffer.write(bytes(range(256)) + b"\xff\xfe\xed\xa0\x80\x1b]0;owned\x07\x1b[2J\r\n" * 100)
sys.stdout.flush()
raise ValueError("\x1b[31m\ud800\x00\u202e" + "x" * 100_000)
