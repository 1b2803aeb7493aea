"""A sample of the fault list, each with the figure that the whole list has to reach: all of its tries."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from faults import FAULTS, Impossible
from faults.fault import NODES, ROOT

SLOW = {
    "ray_node_killed",
    "ray_driver_killed",
    "hangs",
    "ctrl_c_twice",
    "small_files",
    "worker_full",
    "runner_writes",
    "all_killed",
}
"""Faults whose like stays among the quick ones."""
SAMPLED = [pytest.param(f.name, marks=[pytest.mark.slow] if f.name in SLOW else []) for f in FAULTS.values() if f.sample]


@pytest.mark.parametrize("name", SAMPLED)
def test_fault(name: str, tmp_path: Path) -> None:
    try:
        figure = FAULTS[name].run(FAULTS[name].sample, tmp_path)
    except Impossible as why:
        pytest.skip(f"cannot be made here: {why}")
    assert figure.good, f"{figure.reached} of {figure.tried}: {'; '.join(figure.missed[:3])}"


def test_every_promise_names_its_faults_and_every_fault_its_promise() -> None:
    """docs/explanation/promises.md is the list in words: none missing, none that does not exist, each under its promise."""
    page = (ROOT / "docs" / "explanation" / "promises.md").read_text().split("## Figures")[0]
    found = {}
    for chapter in page.split("\n## ")[1:]:
        listed = chapter.split("Faults:")[1].split("\n\n")[0]
        found |= {name: int(chapter.split(".")[0]) for name in re.findall(r"`(\w+)`", listed)}
    assert found == {f.name: f.promise for f in FAULTS.values()}


def test_tests_named_by_the_list_exist() -> None:
    """A fault that is left to other tests counts only while they are there."""
    for node in NODES:
        file, _, name = node.partition("::")
        assert (ROOT / file).is_file() and f"def {name}" in (ROOT / file).read_text(), node
