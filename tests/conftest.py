"""What the tests share: a random-weight Wan of a few kilobytes, and the folders of vectors and clips where they are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import make_fake_environment
from hypothesis import HealthCheck, settings

# The same examples each time, and no example fails for being slow on a busy machine.
settings.register_profile("suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("FASTVMT_SHARED", ROOT.parent / "shared"))
CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))


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
    from fastvmt.backbones import card
    from fastvmt.backbones.wan import Backbone

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
    from fastvmt.metrics.vbench import package

    for found in package._workers.values():
        found.close()


@pytest.fixture(scope="session")
def study_run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The store of a small run for tests that make a user study of it and leave it as it is."""
    from study_runs import run_folder

    return run_folder(tmp_path_factory.mktemp("study") / "r")


@pytest.fixture(scope="session")
def study_made(study_run: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A study of four questions, for tests that only look at it."""
    from fastvmt.reports.study import make as study

    return study.make(study_run.root, tmp_path_factory.mktemp("made") / "page", study.Wish(cases=4))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium; tests that want it are skipped where it is not, except in CI."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        sync_playwright = None
    if not (CHROMIUM.exists() and sync_playwright):
        if os.environ.get("CI") == "true":
            pytest.fail("CI must have Chromium and playwright")
        pytest.skip("Chromium or playwright is not here")
    with sync_playwright() as tools:
        opened = tools.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield opened
        opened.close()
