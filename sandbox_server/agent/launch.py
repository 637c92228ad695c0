"""The agent's entry when it is started as a file: makes the package importable, then leaves sys.path as it was."""

import importlib
import os
import sys

_FOLDER = os.path.dirname(os.path.abspath(__file__))

if __name__ == "__main__":
    # The folder above holds modules that no sample may import by accident (`errors`, `config`): it is on the path
    # only while the agent loads itself.
    sys.path[0] = os.path.dirname(_FOLDER)
    _main = importlib.import_module(os.path.basename(_FOLDER) + ".main")
    del sys.path[0]
    sys.exit(_main.run())
