"""Folders of submissions: each with one method's row, its controls, and what it says of itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fastvmt.reports.share.submission import SUBMISSION, describe, write
from support.runs import make_run


def make_submission(
    folder: Path, label: str = "fastvmt", created: str = "2026-11-01", *, says: dict[str, Any] | None = None,
    sample: int | None = None, **run: Any,
) -> Path:  # fmt: skip
    """A whole submission; ``says`` changes what its submission.json says, ``run`` goes to ``make_run``.

    Args:
        sample: videos of each row, as ``bench submit`` chooses them; by default all, of rows with gaps too.
    """
    how = {"cases": 8, "methods": ("none", "sdedit", label), "videos": False} | run
    if sample is None:
        make_run(folder / "run", **how)
    else:
        write(make_run(folder.with_name(f".{folder.name}"), **how), label, folder, sample)
    facts = describe(folder, label, created, sample or "all").model_dump(mode="json") | (says or {})
    (folder / SUBMISSION).write_text(json.dumps(facts))
    return folder
