"""The environment of Python processes that we start: they import from the folders that we import from, wherever they run."""

from __future__ import annotations

import os


def python_environment() -> dict[str, str]:
    """Our environment for a Python of ours in another folder.

    Nothing is imported from the folder that it runs in: neither because Python looks there first, nor by an empty entry of
    ``PYTHONPATH`` (``:/x``), which means that folder. Relative entries keep the meaning they have here.
    """
    found = os.environ | {"PYTHONSAFEPATH": "1"}
    paths = [os.path.abspath(path) for path in found.pop("PYTHONPATH", "").split(os.pathsep) if path]  # noqa: PTH100
    return found | ({"PYTHONPATH": os.pathsep.join(paths)} if paths else {})
