"""``python -m tools.tiny.clip --out FOLDER --minutes M``: repeat the training of the embedded CLIP ``tiny-shapes``.

A small open_clip model on single frames of drawn clips and their captions. Training resumes where it stopped;
``--to FOLDER`` writes the averaged weights as an open_clip ``local-dir``; ``--check`` prints how often the folder
``--to`` finds the caption of held-out clips.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from open_clip import ClipLoss
from open_clip.model import CLIP
from safetensors.torch import save_file
from torch import Tensor

from fastvmt.datasets.drawn.scene import draw
from fastvmt.datasets.drawn.shapes import cut, random_scene, stream
from fastvmt.metrics.text.words import WordTokenizer

from .data import FULL_FRAMES
from .parts import TEXT_LENGTH, WORDS
from .state import Progress, Run

FIRST_CLIP = 3 * 10**7  # clips of the training stream that the video model never saw
BATCH, ALIKE, RATE, AVERAGE = 128, 8, 2e-3, 0.995
FOLDER = Path(__file__).resolve().parents[2] / "fastvmt" / "backbones" / "tiny" / "clip"
LARGEST_LOGIT_SCALE = 4.6052  # ln 100, as in CLIP


def new_tokenizer() -> WordTokenizer:
    return WordTokenizer(tuple(dict.fromkeys(WORDS)), TEXT_LENGTH)


def model_config() -> dict[str, object]:
    """open_clip's ``model_cfg``: CLIP's ResNet, because convolutions find shapes after few pictures, and words of our own,
    because open_clip's vocabulary alone would take 13 MB."""
    return {
        "embed_dim": 64,
        "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 14, "patch_size": None, "head_width": 32},
        "text_cfg": {
            "context_length": TEXT_LENGTH, "vocab_size": new_tokenizer().vocab_size, "width": 64, "heads": 2, "layers": 2,
        },
    }  # fmt: skip


def preprocess_config() -> dict[str, object]:
    return {"size": 64, "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "shortest"}


class SharedCaptions(ClipLoss):
    """CLIP's loss where clips with the same caption share the target instead of being pushed apart."""

    captions: list[str]

    def get_ground_truth(self, device: torch.device, num_logits: int) -> Tensor:
        order = {caption: n for n, caption in enumerate(dict.fromkeys(self.captions))}
        group = torch.tensor([order[c] for c in self.captions], device=device)
        same = (group[:, None] == group[None]).float()
        return same / same.sum(1, keepdim=True)


def draw_frames(first: int, count: int, alike: int) -> tuple[Tensor, list[str]]:
    """Single frames (count, 3, 64, 64) in [-1, 1] of clips of the training stream, and captions.

    Each ``alike`` neighbours have one ground and one colour of the first subject: among unlike pictures these two are enough
    to find the caption, and shapes are hardly learnt.
    """
    pictures, captions, leader = [], [], None
    for number in range(first, first + count):
        rng = stream("train", number)
        scene = random_scene(rng, FULL_FRAMES)
        start = int(rng.integers(FULL_FRAMES))
        scene = cut(scene, start, start + 1)
        if leader is None or (number - first) % alike == 0:
            leader = scene
        subject = replace(scene.movers[0], colour=leader.movers[0].colour)
        scene = replace(scene, ground=leader.ground, pattern=leader.pattern, movers=(subject, *scene.movers[1:]))
        pictures.append(draw(scene)[0])
        captions.append(scene.caption())
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 127.5 - 1, captions


def new_model() -> CLIP:
    torch.manual_seed(0)
    model = CLIP(**model_config())
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.num_batches_tracked = torch.tensor(0.0)  # a whole number cannot take part in the moving average
    return model


def train(folder: Path, minutes: float) -> CLIP:
    """Train for so many minutes in all, counting those of earlier calls; the result holds the averaged weights."""
    model, tokenizer, loss = new_model(), new_tokenizer(), SharedCaptions()
    gains = [p for p in model.parameters() if p.ndim < 2]
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": gains, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.98))
    optimiser.param_groups[0]["lr"] = optimiser.param_groups[1]["lr"] = 1.0  # factors on the schedule's rate
    progress = Progress(Run(folder), "clip", model, optimiser, minutes / 60, RATE, AVERAGE)
    position = progress.restore()
    while progress.share < 1:
        began = time.time()
        frames, captions = draw_frames(FIRST_CLIP + position, BATCH, ALIKE if position // BATCH % 2 else 1)
        image, text, scale = model(frames, tokenizer(captions))
        loss.captions = captions
        position += BATCH
        progress.update(loss(image, text, scale), began, position, scale=round(float(scale.detach()), 2))
        with torch.no_grad():
            model.logit_scale.clamp_(max=LARGEST_LOGIT_SCALE)
    progress.finish(position)
    return model


def export(model: CLIP, to: Path) -> None:
    """Write the folder that ``local-dir:`` reads."""
    to.mkdir(parents=True, exist_ok=True)
    config = {"model_cfg": model_config(), "preprocess_cfg": preprocess_config()}
    (to / "open_clip_config.json").write_text(json.dumps(config, indent=1) + "\n")
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, to / "open_clip_model.safetensors")
    (to / "open_clip_model.safetensors").chmod(0o644)  # safetensors keeps it to its owner, which a package must not
    new_tokenizer().save(to)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="training folder")
    parser.add_argument("--minutes", type=float, default=25.0, help="training time, earlier calls included")
    parser.add_argument("--to", type=Path, default=FOLDER, help="where to write the weights, or which to check")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--check", action="store_true", help="measure the folder --to instead of training")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.check:
        from .clip_check import check

        for row in check(args.to):
            print(json.dumps(row))
    elif args.out is None:
        parser.error("--out: training needs a folder")
    else:
        args.out.mkdir(parents=True, exist_ok=True)
        export(train(args.out, args.minutes), args.to)


if __name__ == "__main__":
    main()
