"""A folder that somebody was killed over is gone with the next one; one that is being filled is left alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fastvmt.core.disk.held_folder import new_folder

KILLED = """
import os, signal, sys
from pathlib import Path
from fastvmt.core.disk.held_folder import new_folder
with new_folder(Path(sys.argv[1]), "study") as made:
    (made / "half").write_text("a clip")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_goes_and_what_another_one_fills_stays(tmp_path: Path) -> None:
    assert subprocess.run([sys.executable, "-c", KILLED, tmp_path]).returncode == -9
    (left,) = tmp_path.iterdir()
    (tmp_path / ".study.notes.part").mkdir()
    with new_folder(tmp_path, "study") as first, new_folder(tmp_path, "study") as second:
        assert not left.exists() and first.is_dir() and second.is_dir()
        second.rename(tmp_path / "whole")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".study.notes.part", "whole"]


def test_nothing_is_left_of_a_failure(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="odd"), new_folder(tmp_path / "new", "x") as made:
        (made / "half").touch()
        raise ValueError("odd")
    assert list((tmp_path / "new").iterdir()) == []
