"""What the tests share: a random-weight Wan of a few kilobytes, and the folders of vectors and clips where they are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import make_fake_environment

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("FASTVMT_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def golden() -> Path:
    """Numeric vectors made with the authors' functions; skipped where they are not at hand."""
    path = SHARED / "golden"
    if not path.is_dir():
        pytest.skip("no golden vectors beside the checkout")
    return path


@pytest.fixture(scope="session")
def clips() -> Path:
    path = SHARED / "clips"
    if not path.is_dir():
        pytest.skip("no real clips beside the checkout")
    return path


@pytest.fixture(scope="session")
def xs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WanPipeline folder with random weights: 3 blocks, 8x8 px tokens, 4 heads of 12."""
    return make_xs(tmp_path_factory.mktemp("xs"))


def make_xs(folder: Path, blocks: int = 3) -> Path:
    from fastvmt.testing import random_wan

    return random_wan(folder, blocks)


@pytest.fixture(scope="session")
def backbone(xs: Path) -> Any:
    from fastvmt import card
    from fastvmt.backbone import Backbone

    return Backbone(card.load(str(xs)))


@pytest.fixture
def context(backbone: Any) -> Any:
    """A job's context on the random Wan: 5 latent frames of 4x4 tokens, 4 steps, a reference of smooth noise."""
    return make_context(backbone)


def make_context(backbone: Any, steps: int = 4, seed: int = 0) -> Any:
    from fastvmt import testing

    return testing.make_context(backbone, steps, seed)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with neither environment nor weights."""
    for name, folder in (("FASTVMT_ENVS", "envs"), ("VBENCH_CACHE_DIR", "cache"), ("TORCH_HOME", "th"), ("FASTVMT_CACHE", "c")):
        monkeypatch.setenv(name, str(tmp_path / folder))
    return tmp_path


@pytest.fixture
def fake(home: Path) -> Iterator[Path]:
    """The same machine with an environment whose Python runs the stub instead of the worker."""
    make_fake_environment(home / "envs" / "vbench")
    yield home
    from fastvmt.metrics import vbench_package

    for found in vbench_package._workers.values():
        found.close()
