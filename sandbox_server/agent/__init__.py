"""The agent: runs inside a worker, builds cells, runs samples in them and tells the server what it saw.

It imports the standard library only and nothing of the project, because its interpreter is the environment's, whose
packages (old protobuf, old numpy) must never meet the server's. Python >= 3.8. `launch` is its entry, `main` its
loop; `zygote` forks, `cell` builds, `supervisor` watches, `harness` runs the sample; `walls` hold one isolation
mechanism a module.
"""
