"""What a job takes, stage by stage: measured on this machine's CPU beside what ``bench plan`` predicts.

    python benchmarks/memory.py FOLDER --width 832 --height 480 --frames 5 --dtype bfloat16     # a WanPipeline folder

One video of ``fastvmt`` is made as ``bench run`` makes it, of a drawn clip, with as few steps and gradients as there can be:
what the stages hold does not depend on their number. Resident memory is read at every stage's end; a stage's peak begins anew.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

METHOD = "fastvmt:guided=steps:0-0:inner=1"
STAGES = {"reference": "guidance", "shared": "encode"}
"""Stages of a job that ``bench plan`` counts under another name."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="a WanPipeline folder, or tiny")
    for name, value in (("width", 832), ("height", 480), ("frames", 5), ("steps", 2), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--dtype", default="bfloat16")
    args = vars(parser.parse_args())
    with tempfile.TemporaryDirectory() as place:
        found = measured(args.pop("folder"), Path(place) / "run", **args)
    print(json.dumps(found, indent=1))
    return 0


def measured(folder: str, out: Path, **asked: Any) -> dict[str, Any]:
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
        print(f"{now[0]}: peak {each['peak'] / 2**30:.2f} GiB, {each['seconds']:.0f} s", file=sys.stderr, flush=True)
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
    predicted = {name: sum(parts.values()) for name, parts in stages.items()}
    return {"stages": found, "predicted": predicted, "job peak": artefact.peak_memory_bytes,
            "forward-equivalents": artefact.forward_equivalents}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
