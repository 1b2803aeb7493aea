"""Run folders of every format that was ever released: read to the numbers that they held, with the keys that they held."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from fastvmt import api
from fastvmt.core.content_address import frames_digest
from fastvmt.jobs.run_config import RUN_FORMAT
from fastvmt.media.files import read_lossless
from fastvmt.store.folder import Store
from faults.fault import ROOT, Figure, fault

KEPT = ROOT / "tests" / "data" / "runs"
"""``format-N/``, a small run folder as that format's version wrote it, and ``format-N.json``, the table that it showed. A folder
stays as it is for good; whoever changes the format adds one."""


@fault("a run folder of each format so far, read from what is kept of it", promise=4, sample=1, whole=1)
def old_formats(n: int, place: Path) -> Figure:
    """The same table and digest, every video's key and frames, every log line whole; a kept folder for the present format."""
    figure = Figure()
    for kept in sorted(KEPT.glob("format-*/")):
        folder = shutil.copytree(kept, place / kept.name)
        expected, found = json.loads(kept.with_suffix(".json").read_text()), shown(folder)
        for part, value in expected.items():
            figure.count(found[part] == value, f"{kept.name}: another {part}: {found[part]}")
        store = Store.open(folder)
        made = {job.key: store.artefact(job, verify=True) for job in store.config().jobs()}
        for key in sorted(json.loads(path.read_text())["key"] for path in kept.glob("artefacts/*/meta.json")):
            figure.count(made.get(key) is not None, f"{kept.name}: no job of this version has the key {key[:12]}")
        for path in sorted(folder.glob("artefacts/*/frames.mkv")):
            known = json.loads(path.with_name("meta.json").read_text())["frames_digest"]
            figure.count(
                frames_digest(read_lossless(path)) == known, f"{kept.name}: {path.parent.name} decodes to other frames"
            )
        count = len(store.records()), len(store.failures())
        figure.count(not store.warnings and min(count) > 0, f"{kept.name}: {store.warnings or count}")
    present = KEPT / f"format-{RUN_FORMAT}"
    figure.count(present.is_dir(), f"no run folder of the present format is kept: {present.name}")
    figure.note = f"formats: {', '.join(p.name.removeprefix('format-') for p in sorted(KEPT.glob('format-*/')))}"
    return figure


def shown(folder: Path) -> dict[str, object]:
    """What a table of this folder says, as plain data: counts and means, without what statistics add to them."""
    from fastvmt.reports.tables.run_table import as_data

    data = as_data(api.table(folder))
    rows = [
        {part: row[part] for part in ("method", "control", "made", "planned", "failed")}
        | {m: {part: cell[part] for part in ("value", "n", "undefined", "failed")} for m, cell in row["metrics"].items()}
        for row in data["rows"]
    ]
    found: dict[str, object] = {part: data[part] for part in ("digest", "suite_digest", "identities")} | {"rows": rows}
    return found
