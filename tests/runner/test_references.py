"""References are decoded once per process, within a bound, and never served where the file has changed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from support.light_runs import make_light

from fastvmt.errors import JobError
from fastvmt.runner.scoring.references import References
from fastvmt.store.folder import Store


def test_references_are_decoded_once_within_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.open(make_light(tmp_path / "r", 3))
    clips = [case.reference for case in store.config().suite.cases]
    decoded: list[str] = []
    real = Store.reference

    def counted(self: Store, known: Any) -> Any:
        decoded.append(known.frames_digest)
        return real(self, known)

    monkeypatch.setattr(Store, "reference", counted)
    size = real(store, clips[0]).nbytes
    kept = References(most=2 * size)
    for n in (0, 1, 0, 1, 0):
        frames = kept.of(store, clips[n])
        assert (frames == real(store, clips[n])).all() and not frames.flags.writeable
    assert len(decoded) == 2 and kept.held == 2 * size
    for n in (2, 0, 1):  # the third clip takes the place of the one that was not asked for the longest
        kept.of(store, clips[n])
    assert [clips[n].frames_digest for n in (0, 1, 2, 1)] == decoded and kept.held <= 2 * size
    assert (References(most=0).of(store, clips[0]) == real(store, clips[0])).all()


def test_a_reference_that_was_damaged_since_is_found(tmp_path: Path) -> None:
    store = Store.open(make_light(tmp_path / "r", 1))
    known, kept = store.config().suite.cases[0].reference, References()
    kept.of(store, known)
    path = store.reference_path(known.frames_digest)
    path.write_bytes(path.read_bytes()[:-40] + os.urandom(40))
    with pytest.raises(JobError, match="damaged and is set aside"):
        kept.of(store, known)
    with pytest.raises(JobError, match="is not there"):
        kept.of(store, known)
