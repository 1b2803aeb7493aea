"""Drawn clips: the same on every machine, and true to what is claimed of them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from fastvmt.core.content_address import frames_digest
from fastvmt.datasets.drawn import scene as sc
from fastvmt.datasets.drawn import shapes


def test_the_default_suite_is_pinned() -> None:
    """Changing what a seed draws would silently change every number ever reported."""
    first = sc.draw(shapes.suite_pairs("shapes")[0].reference)
    assert frames_digest(first) == PINNED


PINNED = "2a8f0009d3f693553e843b55c1a1ae7026e9505697989b9ed0f816fd192b7525"


def test_suites_have_the_promised_pairs() -> None:
    small, large = shapes.suite_pairs("shapes"), shapes.suite_pairs("shapes-64")
    assert Counter(p.category for p in small) == {"single_object": 8, "multiple_objects": 4, "camera": 2, "complex": 2}
    assert Counter(p.category for p in large) == {"single_object": 40, "camera": 8, "multiple_objects": 8, "complex": 8}
    assert len({p.name for p in small + large}) == 80
    assert [p.name for p in small[:2]] == ["single-object-100", "single-object-101"]  # what --limit takes, as ever


def test_the_default_suite_has_the_pairs_it_had_before_it_grew() -> None:
    """A run folder of the eight first ones goes on, and its references are drawn again."""
    drawn = {p.name: (p.target, frames_digest(sc.draw(p.reference))[:12]) for p in shapes.suite_pairs("shapes", 9)}
    assert (
        drawn.items()
        >= {
            "single-object-100": ("a green cross on a navy striped background", "fb1b805e1778"),
            "single-object-101": ("a purple cross on a navy checker background", "8c869e90d5a8"),
            "camera-102": ("a green circle on a navy plain background", "a3a393dfc79e"),
            "camera-103": ("a purple star on a navy checker background", "b0adb273d98a"),
            "multiple-objects-104": ("a yellow square and a purple cross on a navy striped background", "7d679d4b04d4"),
            "multiple-objects-105": ("a green ring and a blue cross on a teal dotted background", "aa40826bba7c"),
            "complex-106": ("a yellow cross on a navy striped background", "8d3c4fcae851"),
            "complex-107": ("a cyan triangle on a navy checker background", "4d4485bc9bbf"),
        }.items()
    )


def test_targets_share_no_subject_colour_shape_or_ground() -> None:
    for pair in shapes.suite_pairs("shapes-64"):
        words = set(pair.reference.caption().split()) & set(pair.target.split())
        assert words <= {"a", "an", "and", "on", "background"}, pair.name
        assert not {"left", "right", "moves", "moving", "pan"} & set(pair.target.split())


def test_streams_are_disjoint() -> None:
    captions = {name: [shapes.random_scene(shapes.stream(name, n), 2).phase for n in range(200)] for name in shapes.STREAMS}
    seen = [p for rows in captions.values() for p in rows]
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("pair", shapes.suite_pairs("shapes"), ids=lambda p: p.name)
def test_tracks_lie_on_their_owner(pair: shapes.Pair) -> None:
    """A visible point's colour is its owner's (or the ground's) and follows it through the clip."""
    frames, known = sc.draw(pair.reference), shapes.truth(pair.reference)
    assert known.tracks.shape[1:] == (33, 2) and known.visible.shape == known.tracks.shape[:2]
    assert known.visible[:, 0].any() and (known.owner >= 0).any() and (known.owner < 0).any()
    for n, owner in enumerate(known.owner):
        for t in np.flatnonzero(known.visible[n])[::8]:
            x, y = np.rint(known.tracks[n, t]).astype(int)
            if owner >= 0 and known.masks[owner, t, max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3].all():
                colour = np.array(sc.SUBJECT_COLOURS[pair.reference.movers[owner].colour], float)
                ratio = frames[t, y, x] / colour
                assert 0.55 < np.median(ratio) < 1.05


def test_a_front_mover_hides_the_one_behind() -> None:
    t = np.zeros(5)
    still = {"angle": t, "radius": t + 10}
    back = sc.Mover("square", "red", t + 32, t + 32, **still)
    front = sc.Mover("circle", "blue", np.linspace(10, 32, 5), t + 32, **still)
    scene = sc.Scene(64, 64, "gray", "plain", (0.0, 0.0), (back, front), t, t, t + 1)
    known = shapes.truth(scene)
    own = known.owner == 0
    assert known.visible[own][:, 0].all() and known.visible[own][:, -1].mean() < 0.4
    assert not (known.masks[0] & known.masks[1]).any()
