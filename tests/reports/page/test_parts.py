"""Parts of the report page: clips as pictures, what methods logged as charts, short names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from fastvmt.reports.page import atlas
from fastvmt.reports.page.logs import charts

# --- clips as pictures ----------------------------------------------------------------------------------------------------


@given(st.integers(1, 2000), st.integers(1, 2200), st.integers(1, 2200))
def test_atlases_hold_every_frame_within_the_limits(frames: int, height: int, width: int) -> None:
    found = atlas.Layout.of(frames, height, width)
    assert found.width <= 320 and found.height <= 320 and found.columns * found.rows * found.files >= frames
    assert found.columns * found.width <= 16_000 and found.rows * found.height <= 16_000
    assert found.columns * found.rows * (found.files - 1) < frames
    assert found.columns * found.rows * found.width * found.height <= 1.5 * atlas.LARGEST_AREA
    assert len(set(found.names("f" * 64))) == found.files


def test_an_atlas_gives_every_frame_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atlas, "LARGEST_AREA", 8 * 8 * 6)
    clip = np.random.default_rng(0).integers(0, 256, (14, 8, 8, 3), dtype=np.uint8)
    layout = atlas.Layout.of(14, 8, 8)
    assert layout.files > 1
    assert atlas.write_clip(tmp_path, "a" * 64, layout, lambda: clip, tracks=True, still=True)
    assert not atlas.write_clip(tmp_path, "a" * 64, layout, lambda: clip, tracks=True, still=True)
    opened = [pixels(tmp_path / n) for n in layout.names("a" * 64)]
    for n, frame in enumerate(clip):
        file, inside = divmod(n, layout.columns * layout.rows)
        row, column = divmod(inside, layout.columns)
        assert (opened[file][row * 8 : row * 8 + 8, column * 8 : column * 8 + 8] == frame).all()
    assert pixels(tmp_path / atlas.still_name("a" * 64)).shape == (8, 24, 3)


def pixels(path: Path) -> np.ndarray:  # type: ignore[type-arg]
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


# --- what methods logged ----------------------------------------------------------------------------------------------------


def test_logs_become_charts_by_their_shape() -> None:
    log = {
        "loss": {"10": [3, 2], "2": [5, 4, 3]},
        "gradients": {"0": {"at": [0, 3, 6], "norm": [4, 2, 1], "cosine": [[1, 0.9, 0.1], [0.9, 1, 0.5], [0.1, 0.5, 1]]}},
        "centres": {"0": {"reference": {"spread": 1.0}, "video": {"drift": [1, 2]}}, "1": {"reference": {"spread": 2.0}, "video": {"drift": [2, 3]}}},
        "path": {"step": 0, "sketch": [[1.0]]},
    }  # fmt: skip
    by = {c.title: c for c in charts(log)}
    assert set(by) == {"loss", "gradients norm", "centres reference spread", "centres video drift"}
    assert [name for name, _ in by["loss"].series] == ["step 2", "step 10"]
    assert by["gradients norm"].said == "step 0: from 4 to 1"


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["0", "1", "at", "norm", "cosine", "x"]) | st.text(max_size=3), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["loss", "gradients", "centres", "path", "other"]), junk, max_size=5))
@example({"centres": {"0": 0, "1": 1.5e308}})
def test_no_log_breaks_a_page(log: dict[str, Any]) -> None:
    for chart in charts(log):
        places = [float(v) for _, path in chart.series for v in re.findall(r"-?[\d.]+(?:e-?\d+)?", path)]
        assert places and all(-1 <= v <= 500 for v in places)
