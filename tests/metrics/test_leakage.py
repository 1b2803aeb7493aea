"""Likeness to the reference's looks: its parts against plain formulas, its chance level, and what counts as a copy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.clips import make, scored

from fastvmt.datasets.drawn.suites import clip
from fastvmt.errors import SpecError
from fastvmt.media.files import Frames, read_clip
from fastvmt.metrics.copies import COPY, repeated
from fastvmt.metrics.leakage import histogram, similarity_map, ssim
from fastvmt.plugins.metric_labels import build

FRAMES, OTHER = (clip(f"single-object-{n}")[0][::4] for n in (100, 101))
TINY = "appearance_leakage:clip=tiny-shapes"


def test_ssim_is_wangs_formula_at_every_pixel() -> None:
    """By its definition: weighted moments of a window, away from the border."""
    rng = np.random.default_rng(0)
    a = rng.integers(0, 256, (1, 21, 21, 3), np.uint8)
    b = np.clip(a + rng.normal(0, 30, a.shape), 0, 255).astype(np.uint8)
    offsets = np.arange(-6, 7)
    weights = np.exp(-(offsets**2) / (2 * 1.5**2))
    window = np.outer(weights, weights) / weights.sum() ** 2
    for y, x, c in ((10, 10, 0), (9, 12, 2)):
        p, q = (f[0, y - 6 : y + 7, x - 6 : x + 7, c].astype(float) for f in (a, b))
        mp, mq = (window * p).sum(), (window * q).sum()
        vp, vq, both = (window * (p - mp) ** 2).sum(), (window * (q - mq) ** 2).sum(), (window * (p - mp) * (q - mq)).sum()
        c1, c2 = 6.5025, 58.5225
        wanted = (2 * mp * mq + c1) * (2 * both + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2))
        assert similarity_map(a[0], b[0])[y, x, c] == pytest.approx(wanted, abs=2e-3)


def test_the_histogram_counts_pixels_of_a_colour_wherever_they_are() -> None:
    a, b = np.zeros((2, 4, 4, 3), np.uint8), np.zeros((2, 4, 4, 3), np.uint8)
    a[:, :1], b[:, :, 3:] = 200, 200
    assert histogram(a, b) == 1
    b[:] = 200
    assert histogram(a, b) == 0.25


def test_a_copy_leaks_everything_and_other_looks_little_more_than_chance() -> None:
    same = build(TINY).score(scored(FRAMES, FRAMES, OTHER))
    wrong = build(TINY.replace("leakage", "leakage_wrong")).score(scored(FRAMES, FRAMES, OTHER))
    assert same.value == pytest.approx(1, abs=1e-6) and set(same.details) == {"histogram", "ssim", "clip"}
    assert (
        wrong.value is not None
        and wrong.value < 0.6
        and wrong.value == pytest.approx(np.mean(list(wrong.details.values())), abs=1e-6)
    )
    part = build("appearance_leakage_wrong:part=ssim").score(scored(FRAMES, FRAMES, OTHER))
    assert part.value == pytest.approx(wrong.details["ssim"], abs=1e-6) and "clip" not in part.details
    assert build("appearance_leakage_wrong").score(scored(FRAMES, FRAMES)).value is None


def test_a_part_that_was_not_asked_for_is_refused_in_words() -> None:
    with pytest.raises(SpecError, match="needs a clip="):
        build("appearance_leakage:part=clip")


@pytest.mark.parametrize(
    ("video", "copied"),
    [
        (FRAMES, True), (np.clip(FRAMES * 1.08, 0, 255).astype(np.uint8), True), (FRAMES[:1].repeat(9, 0), False),
        (FRAMES[::-1], False), (OTHER, False), (255 - FRAMES, False),
    ],
    ids=["itself", "brighter", "its first frame held", "backwards", "another clip", "in other colours"],
)  # fmt: skip
def test_a_copy_repeats_the_change_of_the_reference_and_nothing_else_does(video: Frames, copied: bool) -> None:
    share = repeated(video, FRAMES)
    assert share is not None and (share > COPY) is copied


def test_a_re_encoded_copy_is_one_and_a_still_reference_has_none(tmp_path: Path) -> None:
    path = make(tmp_path / "copy.mp4", FRAMES, pixels="yuv420p", options={"crf": "35", "preset": "medium"})
    share = repeated(read_clip(path, "copy").frames, FRAMES)
    assert share is not None and share > COPY
    still = FRAMES[:1].repeat(9, 0)
    assert repeated(still, still) is None
    assert ssim(still, still) == pytest.approx(1)
