"""Torch is loaded when it is used, whole and once, however it is imported."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "statement",
    [
        "from torch.fft import fftn",
        "from torch import Tensor",
        "from diffusers import WanPipeline",
    ],
)
def test_any_import_finds_the_real_module(statement: str) -> None:
    code = (
        "from fastvmt.core.lazy import load_when_used\nload_when_used('torch')\nimport sys, torch\n"
        "assert 'torch.nn' not in sys.modules\n"
        f"{statement}\n"
        "import torch.fft\nassert float(torch.ones(3).sum()) == 3 and torch.fft.__spec__.origin.endswith('.py')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-600:]


def test_statistics_load_no_torch() -> None:
    code = (
        "from fastvmt.core.lazy import load_when_used\nload_when_used('torch')\nimport sys, numpy as np\n"
        "from fastvmt.reports.statistics import paired_difference\n"
        "assert paired_difference(np.arange(9.0), np.ones(9)).wilcoxon_p < 0.1\n"
        "assert 'torch.nn' not in sys.modules, 'scipy asked whether an array is a tensor'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-600:]
