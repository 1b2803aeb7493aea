"""Folders of submissions for a leaderboard: each with one method's row, its controls, and what it says of itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fastvmt.reports.share import RECIPE, RUN, SUBMISSION
from fastvmt.reports.share import recipe as recipes
from fastvmt.reports.share.submission import claimed, files_in, sha256_of, write
from fastvmt.reports.tidy import gather
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
        make_run(folder / RUN, **how)
        (folder / RUN / "failures.jsonl").unlink()
        tidy = gather([folder / RUN])
        (folder / RECIPE).write_text(recipes.of(tidy, label).text())
        facts = claimed(tidy, label, created, "all").model_dump(mode="json")
        facts["files"] = {name: sha256_of(folder / name) for name in files_in(folder)}
    else:
        made = write(make_run(folder.with_name(f".{folder.name}"), **how), label, folder, sample)
        facts = made.model_dump(mode="json") | {"created": created}
    (folder / SUBMISSION).write_text(json.dumps(facts | (says or {})))
    return folder
