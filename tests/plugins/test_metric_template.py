"""One template for every metric: a source, units, a range its own example keeps, and an example that runs."""

from __future__ import annotations

import doctest
import sys

import numpy as np
import pytest

from fastvmt import score_clip
from fastvmt.datasets.drawn.suites import clip
from fastvmt.errors import MissingWeights, SpecError
from fastvmt.plugins import registry
from fastvmt.plugins.metric_labels import build

NAMES = sorted(registry.BUILTIN["metrics"])  # not what other test files register


@pytest.mark.parametrize("name", NAMES)
def test_docstring_and_example(name: str) -> None:
    cls = type(build(name))
    assert cls.__dict__.get("__doc__") and cls.summary and (cls.source or cls.timing), name
    assert cls.direction in ("up", "down", "none") and cls.range[0] < cls.range[1]
    module = sys.modules[cls.__module__]
    found = doctest.DocTestFinder(recurse=False).find(cls, cls.__name__, module=module, globs=dict(vars(module)))
    assert found and found[0].examples, f"{name} has no example"
    said: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(found[0], out=said.append)
    assert result.failed == 0, "".join(said)


def test_scoring_frames_in_memory_refuses_what_it_cannot_know() -> None:
    frames, caption = clip("single-object-100")
    with pytest.raises(SpecError, match="costs are measured"):
        score_clip("time", frames)
    with pytest.raises(SpecError, match="known motion"):
        score_clip("trajectory", frames, prompt=caption)
    with pytest.raises(SpecError, match="no-such"):
        score_clip("no-such-metric", frames)
    with pytest.raises(MissingWeights, match="MUSIQ|musiq|vbench"):
        score_clip("vbench:imaging_quality", frames)
    still = score_clip("motion_fidelity_moving", np.zeros((5, 64, 64, 3), np.uint8), frames)
    assert still.value == 0.0 and still.details["why"]
