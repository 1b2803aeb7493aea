"""Every table says what share of tracks its motion numbers stand on, from new records, old ones, and whatever a run folder holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.runs import make_run

from fastvmt.reports.tidy import gather

WILD = ({}, {"live": "much"}, {"live": 7}, {"invisible": [None, 0.5]}, {"invisible": []}, {"live": [0.5]})


def noted(root: Path, details: dict[str, dict[str, Any]]) -> list[str]:
    """Notes on tracks of a run whose records of these metrics have these details."""
    path = root / "records.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        row["details"] = details.get(row["metric"], {})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [note for note in gather([root]).notes if note.startswith("tracks of")]


def test_a_table_says_what_share_of_tracks_is_seen(tmp_path: Path) -> None:
    labels = ("motion_fidelity", "motion_fidelity_tracked", "time")
    root = make_run(tmp_path / "r", 2, ("none", "fastvmt"), metrics=labels, videos=False)
    # Of a record older than `live`, the shares that are not seen:
    found = noted(root, {"motion_fidelity": {"invisible": [0.2, 0.6]}, "motion_fidelity_tracked": {"live": 0.5}})
    assert found == [
        "tracks of opencv-lk: 60% are seen (least: none, 60%); the rest is counted, too, by motion_fidelity.",
        "tracks of opencv-lk-live: 50% are seen (least: none, 50%).",
    ]


@pytest.mark.parametrize("details", WILD)
def test_what_is_no_share_makes_no_note(details: dict[str, Any], tmp_path: Path) -> None:
    root = make_run(tmp_path / "r", 1, ("none",), metrics=("motion_fidelity",), videos=False)
    assert noted(root, {"motion_fidelity": details}) == []
