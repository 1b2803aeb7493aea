"""What the tests share: a random-weight Wan of a few kilobytes, the folders of vectors and clips, and a guard for the process."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from support.cli import make_fake_environment, same_plugins
from support.places import CHROMIUM, lacking, shared

# Before torch is imported, here and in the hundreds of processes that tests start: its threads would wait for each other where
# tests share the cores, and each process would compile all that it imports.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

BY_LIBRARIES = ("$LD_LIBRARY_PATH", "$KMP_", "$TORCH", "$PYTORCH", "$TRITON", "$RAY_", "$CUDA_", "$QT_", "$TF_", "$HF_", "$MPL")
"""Variables that packages set when they are first imported, in whichever test that happens."""

# The same examples each time, and no example fails for being slow on a busy machine.
settings.register_profile("suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


def pytest_configure(config: pytest.Config) -> None:
    """What tests trust is not what the developer trusts, nor what was timed on his machine."""
    place, own = tempfile.TemporaryDirectory(prefix="fastvmt-tests-config-"), ("XDG_CONFIG_HOME", "FASTVMT_CALIBRATIONS")
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(dict.fromkeys(own, place.name))

    def restore() -> None:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        place.cleanup()

    config.add_cleanup(restore)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One worker a core, up to 8: each holds torch, about a gigabyte."""
    return min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, 8)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Plug-ins that a test or its fixtures registered are forgotten after it."""
    with same_plugins():
        return (yield)


@pytest.fixture(autouse=True)
def leaves_nothing_behind() -> Iterator[None]:
    """A test that changes its process for those after it fails itself."""
    before = _process()
    yield
    after = _process()
    names = {n for n in (*before, *after) if n in before or (n.startswith("$") and not n.startswith(BY_LIBRARIES))}
    left = [f"{n}: {before.get(n)} became {after.get(n)}" for n in sorted(names) if before.get(n) != after.get(n)]
    assert not left, f"left behind: {left}"


BY_OTHERS = {"PYTEST_CURRENT_TEST", "LD_LIBRARY_PATH", "TOKENIZERS_PARALLELISM"}
"""Variables that pytest sets for each test, and OpenCV and open_clip when they are first imported."""


def _process() -> dict[str, Any]:
    """What a test could leave changed: the environment, the folder, handlers of signals, torch's settings, replaced modules."""
    found: dict[str, Any] = {f"${k}": v for k, v in os.environ.items() if k not in BY_OTHERS}
    found |= {"folder": os.getcwd(), "signals": [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]}
    found |= {name: module for name, module in sys.modules.items() if name.startswith("fastvmt.")}
    if "torch" in sys.modules:
        import torch

        found |= {"threads": torch.get_num_threads(), "dtype": torch.get_default_dtype(), "gradients": torch.is_grad_enabled(),
                  "deterministic": torch.are_deterministic_algorithms_enabled()}  # fmt: skip
    return found


@pytest.fixture(scope="session")
def golden() -> Path:
    """Numeric vectors made with the authors' functions."""
    return shared("golden")


@pytest.fixture(scope="session")
def clips() -> Path:
    return shared("clips")


@pytest.fixture(scope="session")
def xs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WanPipeline folder with random weights: 3 blocks, 8x8 px tokens, 4 heads of 12."""
    from fastvmt.testing import random_wan

    return random_wan(tmp_path_factory.mktemp("xs"))


@pytest.fixture(scope="session")
def backbone(xs: Path) -> Any:
    from fastvmt.backbones import card
    from fastvmt.backbones.wan import Backbone

    return Backbone(card.load(str(xs)))


@pytest.fixture
def context(backbone: Any) -> Any:
    """A job's context on the random Wan: 5 latent frames of 4x4 tokens, 4 steps, a reference of smooth noise."""
    from fastvmt.testing import make_context

    return make_context(backbone)


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
    package._workers.clear()


@pytest.fixture(scope="session")
def study_run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The store of a small run for tests that make a user study of it and leave it as it is."""
    from support.study_runs import run_folder

    return run_folder(tmp_path_factory.mktemp("study") / "r")


@pytest.fixture(scope="session")
def study_made(study_run: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A study of four questions, for tests that only look at it."""
    from fastvmt.reports.study import make as study

    return study.make(study_run.root, tmp_path_factory.mktemp("made") / "page", study.StudyDesign(cases=4))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        lacking("playwright", "uv pip install playwright", in_ci=True)
    if not CHROMIUM.exists():
        lacking("Chromium", "apt-get install chromium, or set CHROMIUM to its program", in_ci=True)
    with sync_playwright() as tools:
        opened = tools.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield opened
        opened.close()
