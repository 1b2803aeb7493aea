"""Metrics and methods as people say them, at the head of columns and rows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastvmt.reports.tidy import Tidy

HEADS = {"motion_fidelity": "Motion fid.", "text_similarity": "Text sim.", "temporal_consistency": "Temp. cons.", "forwards": "FE"}
NAMES = {"fastvmt": "FastVMT", "ditflow": "DiTFlow", "none": "No transfer", "sdedit": "SDEdit"}


def heading(label: str, tidy: Tidy | None = None) -> str:
    """A metric's heading: ``Motion fid.`` for ``motion_fidelity``."""
    id = re.split(r":(?=[a-z_]+=)", label)[0]
    return HEADS.get(id) or id.rpartition(":")[2].replace("_", " ").capitalize()


def display(label: str, tidy: Tidy | None = None) -> str:
    """A method's name: ``FastVMT`` for ``fastvmt``; what was changed in it stands behind as it is typed."""
    id, colon, rest = label.partition(":")
    return NAMES.get(id, id) + colon + rest
