"""A sample of the fault list, each with the figure that the whole list has to reach: all of its tries."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults import FAULTS, Impossible


@pytest.mark.parametrize("name", [f.name for f in FAULTS.values() if f.sample])
def test_fault(name: str, tmp_path: Path) -> None:
    try:
        figure = FAULTS[name].run(FAULTS[name].sample, tmp_path)
    except Impossible as why:
        pytest.skip(str(why))
    assert figure.good, f"{figure.reached} of {figure.tried}: {'; '.join(figure.missed[:3])}"
