"""Names of what lies in a run folder, for all who write and read it; ``fastvmt.store.folder`` says what is in them."""

from __future__ import annotations

from pathlib import Path

CONFIG, LOCK, CONFLICTS, SHEET, TABLE = "config.json", "lock", "conflicts.json", "sheet.png", "table.md"
TRAITS = "traits.json"
"""What tables need of plug-ins; see ``fastvmt.plugins.traits``."""
MERGE, PREDICTION = "merge.json", "plan.json"
ARTEFACTS, REFERENCES, CACHE, WORKERS = "artefacts", "references", "cache", "workers"
EVENTS, RECORDS, FAILURES = "events", "records", "failures"
"""Logs: ``events.jsonl`` and, of runners that joined, ``events/NAME.jsonl``."""
PREPARED, LEASES, QUARANTINE, REPORT = "prepared", "leases", "quarantine", "report"
REMAKE = "remake"
"""A file for each video that is to be made or scored again, named by its job's key; what is left to do stands in it."""
HOLDERS = "holders"
"""In ``LEASES``: a card of each runner."""
PROBES, SLURM = "probes", "slurm"
PROBE = f"{PROBES}/correspondence.json"
FILES = (
    CONFIG, LOCK, CONFLICTS, SHEET, TABLE, TRAITS, MERGE, PREDICTION,
    f"{EVENTS}.jsonl", f"{RECORDS}.jsonl", f"{FAILURES}.jsonl",
)  # fmt: skip
FOLDERS = (
    ARTEFACTS, REFERENCES, CACHE, WORKERS, EVENTS, RECORDS, FAILURES, PREPARED, LEASES, QUARANTINE, REPORT, REMAKE, PROBES,
    SLURM,
)  # fmt: skip
"""Directly in a run folder: all that is read or written there. What else lies there is the user's."""
META, FRAMES, VIDEO = "meta.json", "frames.mkv", "video.mp4"
"""Of an artefact: written last; lossless and scored; for the eye."""
MAKING = ".making-"
"""How the name of an artefact begins that is not finished."""


def is_run(folder: Path) -> bool:
    """Whether a folder is a run."""
    return (folder / CONFIG).is_file()


def runs_in(folder: Path) -> list[Path]:
    """Run folders directly in a folder, by name."""
    return sorted(p.parent for p in folder.glob(f"*/{CONFIG}"))


def make_folders(root: Path) -> None:
    """What has to be there before anything is written into a run folder."""
    for name in (ARTEFACTS, REFERENCES, CACHE, WORKERS):
        (root / name).mkdir(parents=True, exist_ok=True)


def log(root: Path, name: str, writer: str = "") -> Path:
    """A log of the lock's holder, or of a runner that joined."""
    return root / name / f"{writer}.jsonl" if writer else root / f"{name}.jsonl"


def logs(root: Path, name: str) -> list[Path]:
    """A log's files of all writers, that of the lock's holder last."""
    return [*sorted((root / name).glob("*.jsonl")), log(root, name)]
