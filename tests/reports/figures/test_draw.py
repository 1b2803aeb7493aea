"""Figures: known answers, the same bytes twice, hostile labels, and a sentence where there is nothing to draw."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastvmt.errors import UserError
from fastvmt.reports.figures import draw
from fastvmt.reports.figures.inner_steps import (
    correspondence,
    cosines_by_lag,
    gradient_axes,
    gradient_similarity,
    skip_paths,
)
from fastvmt.reports.figures.style import Drawn, save

HOSTILE = "$\\frac{1}{0}$ <script>_x_ --> \x00\u202e\n\ud800 漢"


def point(label: str, seconds: float | None, quality: float | None, **more: Any) -> dict[str, Any]:
    return {"label": label, "seconds": seconds, "quality": quality, "control": False, **more}


def turning(steps: int, degrees: float, norm: float = 2.0) -> dict[str, Any]:
    """The log of gradients that all turn in one plane."""
    angles = np.radians(degrees) * np.arange(steps)
    return {"at": list(range(steps)), "norm": [norm] * steps, "cosine": np.cos(angles[:, None] - angles).tolist()}


def circle(steps: int, radius: float) -> list[list[float]]:
    return [[radius * j, 0.0, 0.0] for j in range(1, steps + 1)]


def every(label: str) -> list[Drawn]:
    share = np.linspace(0, 1, 2 * 3 * 2).reshape(2, 3, 2).tolist()
    return [
        draw.quality_time([point(label, 2.0, 0.5), point("b", 4.0, 0.7, quality_low=0.6, quality_high=0.8, n=3)], label),
        draw.ablation_bars([label, "b"], [(label, "up", [1.0, None], [0.5, None], [1.5, None])]),
        draw.stage_bars({label: {"guidance": 1.0, label: 2.0}, "b": {"decode": 3.0}}),
        gradient_similarity([{label: turning(5, 10)}]),
        skip_paths({1: circle(4, 1.0), 3: circle(4, 0.9)}),
        correspondence([0.0, 0.5], [label, "b"], share),
    ]


def test_the_same_bytes_twice_in_every_format(tmp_path: Path) -> None:
    written = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        drawn = every("fastvmt:block=2")[0]
        made = save(drawn, tmp_path / folder / "qt.v1", ("png", "svg", "pdf"))
        assert [p.name for p in made] == ["qt.v1.png", "qt.v1.svg", "qt.v1.pdf"]
        written.append([p.read_bytes() for p in made])
        assert save(drawn.figure, tmp_path / folder / "again", ("png",))[0].read_bytes() == written[-1][0]
    assert written[0] == written[1]
    assert not re.search(rb"(?i)creat(or|ed|iondate)|<dc:date", written[0][1]) and drawn.alt.encode() in written[0][1]


def test_hostile_labels_are_neither_read_nor_fatal(tmp_path: Path) -> None:
    for n, drawn in enumerate(every(HOSTILE)):
        for path in save(drawn, tmp_path / str(n)):
            assert path.stat().st_size > 2000
        tree = ET.parse(tmp_path / f"{n}.svg")
        assert not [e for e in tree.iter() if e.tag.endswith("script")]
        assert "\x00" not in drawn.alt + drawn.caption


def test_global_settings_of_matplotlib_stay() -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    every("a")
    assert dict(matplotlib.rcParams) == before


def test_missing_values_are_said_or_refused() -> None:
    drawn = draw.quality_time([point("here", 2.0, 0.5, n=4), point("gone", None, 0.5), point("odd", math.nan, 1.0)], "q")
    assert "Not drawn" in drawn.caption and "gone, odd" in drawn.caption and "n = 4" in drawn.caption
    ablation = draw.ablation_bars(["a", "b"], [("M", "up", [1.0, None], [None] * 2, [None] * 2)])
    assert "b missing" in ablation.alt and "n was not given" in ablation.caption
    nothing: list[Any] = [
        lambda: draw.quality_time([point("a", None, 1.0)], "q"),
        lambda: draw.ablation_bars(["a"], [("M", "up", [None], [None], [None])]),
        lambda: draw.ablation_bars(["a", "b"], [("M", "up", [1.0], [1.0], [1.0])]),
        lambda: draw.stage_bars({"a": {}}),
        lambda: gradient_similarity([{"0": turning(1, 0)}]),
        lambda: skip_paths({2: circle(3, 1.0), 3: circle(3, 1.0)}),
        lambda: skip_paths({1: circle(3, 1.0), 3: circle(4, 1.0)}),
        lambda: correspondence([0.0], ["a", "b"], [[[1.0]]]),
        lambda: save(drawn, Path("x"), ("bmp",)),
    ]
    for call in nothing:
        with pytest.raises(UserError, match=r"\.$"):
            call()


def test_bars_start_at_zero_unless_they_would_look_equal() -> None:
    near, far = ([0.98, 0.97], [0.9, 0.4])
    drawn = draw.ablation_bars(["a", "b"], [("near", "up", near, near, near), ("far", "up", far, far, far)])
    left, right = drawn.figure.axes
    assert not left.patches and len(right.patches) == 2 and right.get_xlim()[0] <= 0 and "not start at 0" in drawn.caption


def test_cosines_by_lag_and_exact_pca() -> None:
    found = cosines_by_lag([{"0": turning(4, 20), "1": turning(4, 20)}, {"0": turning(2, 60)}])
    assert [len(v) for v in found.values()] == [3, 2, 2]
    np.testing.assert_allclose(found[1], [np.cos(np.radians(20))] * 2 + [0.5])
    np.testing.assert_allclose(found[3], [0.5, 0.5])
    coordinates, share = gradient_axes(turning(7, 15))
    angles = np.radians(15) * np.arange(7)
    flat = np.stack([np.cos(angles), np.sin(angles)], 1)
    apart = np.linalg.norm(coordinates[:, None] - coordinates, axis=-1)
    wanted = np.linalg.norm(flat[:, None] - flat, axis=-1) / np.linalg.norm(flat.mean(0))
    np.testing.assert_allclose(apart, wanted, atol=1e-9)  # distances in the plane are the gradients' own
    assert share.sum() == pytest.approx(1.0)
    same, share = gradient_axes(turning(3, 0))
    assert np.abs(same).max() < 1e-6
