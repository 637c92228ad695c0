# mypy: ignore-errors
# tries: files that nobody can delete (33)
# kind: script
# verdict: PASSED
# says: left
# Nothing here is forbidden; what matters is that nothing of it is found afterwards.
import os

os.makedirs("a/" + "b" * 200 + "/c")
open("a/file", "w").close()
os.link("a/file", "a/other")
os.chmod("a/file", 0)
os.chmod("a", 0)
os.chmod("/tmp", 0)
print("left")
