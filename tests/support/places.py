"""Where things are that tests look for beside the code, and what a skip says of what is not there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).resolve().parents[2]
SUPPORT = ROOT / "tests" / "support"
SHARED = Path(os.environ.get("FASTVMT_SHARED", ROOT.parent / "shared"))
CHROMIUM = Path(os.environ.get("CHROMIUM", shutil.which("chromium") or "/usr/bin/chromium"))


def lacking(what: str, how: str, in_ci: bool = False) -> NoReturn:
    """Skip a test for want of ``what``, which ``how`` gets. ``in_ci``: .ci/run installs it, so that its lack is a failure there."""
    if in_ci and os.environ.get("CI") == "true":
        pytest.fail(f"CI must have {what}: {how}")
    pytest.skip(f"needs {what}: {how}")


def shared(name: str, file: str = "") -> Path:
    """A folder or file of the data that lies beside the checkout."""
    path = SHARED / name / file
    if not path.exists():
        lacking(f"{path.name} of the shared data", f"set FASTVMT_SHARED to the folder that holds it (looked for {path})")
    return path


def need_latex() -> None:
    if shutil.which("pdflatex") is None:
        lacking("pdflatex", "apt-get install texlive-latex-recommended", in_ci=True)
