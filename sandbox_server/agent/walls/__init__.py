"""Walls: one isolation mechanism a module, each built by system calls and seen to stand by `probe`."""
