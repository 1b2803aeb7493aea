"""Folders of submissions: each with one method's row, its controls, and what it says of itself."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from support.runs import make_run


def make_submission(
    folder: Path, label: str = "fastvmt", created: str = "2026-11-01T12:00:00+00:00", *, says: dict[str, Any] | None = None,
    recipe: str = '[row]\nmethod = "fastvmt"\n', **run: Any,
) -> Path:  # fmt: skip
    """A whole submission; ``says`` changes its submission.json, ``run`` goes to ``make_run``."""
    made = {"cases": 8, "methods": ("none", "sdedit", label)} | run
    make_run(folder / "run", **made)
    (folder / "recipe.toml").write_text(recipe)
    files = {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
             for p in sorted(folder.rglob("*")) if p.is_file()}  # fmt: skip
    facts = {
        "format": 1, "name": label if isinstance(label, str) else "", "method": str(label).split(":")[0], "created": created,
        "versions": {}, "machine": {}, "claims": {}, "sample": "all", "files": files,
    } | (says or {})  # fmt: skip
    (folder / "submission.json").write_text(json.dumps(facts))
    return folder
