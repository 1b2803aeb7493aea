"""What environment variables say, whatever somebody put into them."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastvmt.core.caches import place, seconds
from fastvmt.errors import UserError
from fastvmt.runner.crew.leases import SILENCE, patience


@pytest.mark.parametrize(("said", "found"), [(None, "/usual"), ("", "/usual"), ("/x/y", "/x/y"), ("$SOME/z", "/some/z")])
def test_an_empty_variable_is_no_place(monkeypatch: pytest.MonkeyPatch, said: str | None, found: str) -> None:
    monkeypatch.setenv("SOME", "/some")
    monkeypatch.delenv("FASTVMT_DATA", raising=False)
    if said is not None:
        monkeypatch.setenv("FASTVMT_DATA", said)
    assert place("FASTVMT_DATA", "/usual") == Path(found)


def test_a_home_that_is_nowhere_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTVMT_DATA", "~nobody-at-all/data")
    with pytest.raises(UserError, match="FASTVMT_DATA: the home folder of ~nobody-at-all/data is not known"):
        place("FASTVMT_DATA", "/usual")


@pytest.mark.parametrize("said", ["nan", "inf", "-1", "abc", "1e400", "9" * 23])
def test_seconds_that_cannot_be_waited(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv("FASTVMT_LEASE_SILENCE", said)
    assert patience() == SILENCE
    with pytest.raises(ValueError, match=f"FASTVMT_LEASE_SILENCE={said}: seconds from 0.1 to 1,000,000 are needed"):
        seconds("FASTVMT_LEASE_SILENCE", 1.0)
