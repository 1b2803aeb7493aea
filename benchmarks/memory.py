"""What a job takes: predictions of ``bench plan`` as a table, and what they rest on, measured on this machine's CPU.

    python benchmarks/memory.py predict                # GiB by model, size, length, method and --offload; bfloat16 on CUDA
    python benchmarks/memory.py blocks                 # tensors alive in blocks of real width, few tokens: measured, by formula
    python benchmarks/memory.py vae                    # bytes a pixel of the VAE's two ways, beside diffusers' own
    python benchmarks/memory.py run FOLDER             # one guided video on a WanPipeline folder, stage by stage

``run`` makes a video of ``fastvmt`` as ``bench run`` does, of a drawn clip, with as few steps and gradients as there can be:
what a stage holds does not depend on their number. Resident memory is read at every stage's end; each stage's peak begins anew.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

METHOD = "fastvmt:guided=steps:0-0:inner=1"
STAGES = {"reference": "guidance", "shared": "encode"}
"""Stages of a job that ``bench plan`` counts under another name."""
SHAPES = {"1.3b": {"heads": 12, "head_dim": 128, "ffn": 8960}, "14b": {"heads": 40, "head_dim": 128, "ffn": 13824}}
GIB = 1 << 30


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("predict", "blocks", "vae", "run"))
    parser.add_argument("folder", nargs="?", help="of run: a WanPipeline folder, or tiny")
    for name, value in (("width", 832), ("height", 480), ("frames", 5), ("steps", 2), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--dtype", default="bfloat16")
    args = vars(parser.parse_args())
    what, folder = args.pop("what"), args.pop("folder")
    if what == "run":
        if not folder:
            parser.error("run needs a folder")
        with tempfile.TemporaryDirectory() as place:
            print(json.dumps(ran(folder, Path(place) / "run", **args), indent=1))
        return 0
    for line in {"predict": predicted, "blocks": blocks, "vae": vae}[what]():
        print(line, flush=True)
    return 0


# --- predictions ---------------------------------------------------------------------------------------------------------


def predicted() -> Iterator[str]:
    """A Markdown table: the peak and its stage by ``--offload``."""
    from fastvmt.backbones import card as cards
    from fastvmt.backbones.noise_levels import sigma_grid
    from fastvmt.estimates.memory import need
    from fastvmt.plugins import labels

    offloads = ("text", "vae", "block")
    yield f"| model | size, px | frames | method | {' | '.join(f'`--offload {o}`' for o in offloads)} |"
    yield "|---|---|---|---|---|---|---|"
    for model, (width, height), frames in product(("1.3b", "14b"), ((832, 480), (1280, 720)), (33, 81)):
        card = cards.load(f"wan2.1-{model}")
        shape = card.shape(width, height, frames, sigma_grid(50, 3.0))
        for method in ("none", "fastvmt", "ditflow"):
            spec = labels.resolve(method, shape, card.methods)
            needs = [need(card, width, height, frames, "bfloat16", (spec,), offload=o, device="cuda") for o in offloads]
            cells = [f"{n.least / GIB:.1f} {n.peak()[0]}" for n in needs]
            yield f"| {model} | {width} x {height} | {frames} | `{method}` | {' | '.join(cells)} |"


# --- allocations ---------------------------------------------------------------------------------------------------------


def allocated(call: Callable[[], object]) -> int:
    """Bytes that torch has allocated on the CPU at the peak of a call, above those before it."""
    from torch.profiler import ProfilerActivity, profile

    gc.collect()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        call()
    events = sorted((e.start_ns(), e.nbytes()) for e in seen.profiler.kineto_results.events() if e.name() == "[memory]")
    now = most = 0
    for _, size in events:
        now += size
        most = max(most, now)
    return most


def of_blocks(dtype: str, tap: int, **shape: int) -> dict[str, tuple[float, float]]:
    """Tensors (tokens x width) alive in a pass without gradient and in one with, recomputed, up to block ``tap``: measured, and
    as ``bench plan`` counts them. Random weights, 320 tokens."""
    import torch

    from fastvmt.backbones import card as cards
    from fastvmt.backbones.wan import Backbone
    from fastvmt.estimates.memory import need
    from fastvmt.model import MethodSpec
    from fastvmt.testing.wan import random_wan

    kind, before = getattr(torch, dtype), torch.get_default_dtype()
    with tempfile.TemporaryDirectory() as place:
        torch.set_default_dtype(kind)
        try:
            card = cards.load(str(random_wan(Path(place) / "wan", blocks=tap + 1, **shape)))
        finally:
            torch.set_default_dtype(before)
        model = Backbone(card, dtype=kind)
        model.transformer.enable_gradient_checkpointing()
        need_ = need(card, 64, 64, 17, dtype, (MethodSpec(label="m", method="motionclone", version=1, params={"block": tap}),))
    x, text = torch.randn(card.latent_shape(64, 64, 17)), torch.zeros(1, 24, 16)
    names = (f"q@{tap}", f"k@{tap}")

    def guided() -> None:
        at = x.clone().requires_grad_(True)
        with torch.enable_grad():
            taps = model.taps(at, 0.7, text, names)
            torch.autograd.grad((taps[names[0]].float() * taps[names[1]].float()).sum(), at)

    unit = 320 * card.heads * card.head_dim * kind.itemsize
    with torch.no_grad():
        plain = allocated(lambda: model.velocity(x, 0.7, text))
    found = {"no gradient": (plain, need_.forward), "guided, recomputed": (allocated(guided), need_.guidance)}
    return {name: (a / unit, b / unit) for name, (a, b) in found.items()}


def blocks() -> Iterator[str]:
    yield "| model | dtype | pass | tensors, measured | by formula |"
    yield "|---|---|---|---|---|"
    for model, dtype in (("1.3b", "bfloat16"), ("1.3b", "float32"), ("14b", "bfloat16")):
        for name, (measured, formula) in of_blocks(dtype, 2, **SHAPES[model]).items():
            yield f"| {model} | {dtype} | {name} | {measured:.1f} | {formula:.1f} |"


def vae() -> Iterator[str]:
    import torch
    from diffusers import AutoencoderKLWan

    from fastvmt.backbones.frame_by_frame import take_frames_one_by_one, use_direct_convolutions

    torch.set_grad_enabled(False)
    width, height, frames = 96, 64, 9
    x, z = torch.zeros(1, 3, frames, height, width), torch.zeros(1, 16, (frames - 1) // 4 + 1, height // 8, width // 8)
    yield "| | encode, bytes a px | decode, less the video twice |"
    yield "|---|---|---|"
    for name in ("four frames at once (diffusers)", "one frame"):
        model = AutoencoderKLWan().eval()
        if name == "one frame":
            take_frames_one_by_one(model)
        use_direct_convolutions(model)
        sizes = [allocated(lambda m=model: m.encode(x)), allocated(lambda m=model: m.decode(z)) - 2 * x.nbytes]
        yield f"| {name} | {' | '.join(f'{size / width / height:,.0f}' for size in sizes)} |"


# --- a job ---------------------------------------------------------------------------------------------------------------


def ran(folder: str, out: Path, **asked: Any) -> dict[str, Any]:
    """Peaks in bytes and seconds by stage, in the order in which they came, and what was predicted for them."""
    from fastvmt.backbones import card as cards
    from fastvmt.core.stages import peak_process_bytes, reset_peak
    from fastvmt.estimates.memory import need
    from fastvmt.runner.generate import Generator
    from fastvmt.runner.plan import resolve
    from fastvmt.runner.settings import Request

    request = Request(
        backbone=folder, methods=(METHOD,), controls=False, suite="shapes", limit=1, device="cpu", metrics=("time",), **asked
    )
    plan = resolve(request)
    store, s = plan.open_store(out), plan.config.setting
    found: dict[str, dict[str, float]] = {}
    now, began = ["load"], [time.monotonic()]

    def enter(stage: str) -> None:
        each = found.setdefault(STAGES.get(now[0], now[0]), {"peak": 0, "seconds": 0.0})
        each["peak"] = max(each["peak"], peak_process_bytes())
        each["seconds"] += round(time.monotonic() - began[0], 1)
        print(f"{now[0]}: peak {each['peak'] / GIB:.2f} GiB, {each['seconds']:.0f} s", file=sys.stderr, flush=True)
        now[0], began[0] = stage, time.monotonic()
        reset_peak()

    class Watched(Generator):
        def _encode_texts(self, stages: Any) -> None:
            now[0] = "text"
            super()._encode_texts(stages)
            enter("load")

    generator = Watched(store, plan.config)
    enter("other")
    artefact = generator.make(plan.config.jobs()[0], lambda step, steps: None, enter)
    enter("")
    stages = need(cards.load(folder), s.width, s.height, s.frames, s.dtype, plan.config.methods).stages()
    return {"stages": found, "predicted": {name: sum(parts.values()) for name, parts in stages.items()},
            "job peak": artefact.peak_memory_bytes, "forward-equivalents": artefact.forward_equivalents}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
