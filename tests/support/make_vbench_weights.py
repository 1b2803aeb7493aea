"""Run by VBench's own Python: small random weights in VBench's cache layout, and what the other environment needs to
give our formulas the package's own networks: AMT and RAFT as TorchScript, MUSIQ's scores.

``python make_vbench_weights.py CACHE OTHER FRAMES``; FRAMES is a .npy of uint8 (T, H, W, 3).
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

os.environ["VBENCH_CACHE_DIR"] = sys.argv[1]
import numpy as np
import torch
import vbench
from clip.model import CLIP
from easydict import EasyDict
from omegaconf import OmegaConf
from pyiqa.archs.musiq_arch import MUSIQ
from timm.models.vision_transformer import VisionTransformer
from vbench.motion_smoothness import build_from_cfg
from vbench.third_party.RAFT.core.raft import RAFT

HUBCONF = """
from timm.models.vision_transformer import VisionTransformer
def dino_vitb16(pretrained=True, **kwargs):
    return VisionTransformer(img_size=224, patch_size=16, embed_dim=128, depth=2, num_heads=2, num_classes=0)
"""


def put(cache: Path, name: str, value: object) -> None:
    path = cache / name
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(value, path)


def shaken(model: torch.nn.Module, spread: float = 0.02) -> torch.nn.Module:
    """Every parameter moved a little: fresh networks hold many zeros and ones, behind which mistakes could hide."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * spread)
    return model.eval()


def openai_archive(path: Path, patch: int, width: int, layers: int, features: int) -> None:
    model = shaken(CLIP(features, 224, layers, width, patch, 8, 20, 64, 1, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.jit.save(torch.jit.trace(model, (torch.zeros(1, 3, 224, 224), torch.zeros(1, 8, dtype=torch.int64))), str(path))


class Midpoint(torch.nn.Module):
    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return self.net(a, b, torch.full((1, 1, 1, 1), 0.5), scale_factor=1.0, eval=True)["imgt_pred"]


class Flow(torch.nn.Module):
    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return self.net(a, b, iters=20, test_mode=True)[1]


def main() -> None:
    cache, other = Path(sys.argv[1]), Path(sys.argv[2])
    frames = torch.from_numpy(np.load(sys.argv[3])).permute(0, 3, 1, 2).float()
    other.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    dino = shaken(VisionTransformer(img_size=224, patch_size=16, embed_dim=128, depth=2, num_heads=2, num_classes=0))
    put(cache, "dino_model/dino_vitbase16_pretrain.pth", dino.state_dict())
    hub = cache / "dino_model" / "facebookresearch_dino_main"
    hub.mkdir(parents=True)
    (hub / "hubconf.py").write_text(HUBCONF)
    openai_archive(cache / "clip_model" / "ViT-B-32.pt", 32, 128, 2, 64)
    openai_archive(cache / "clip_model" / "ViT-L-14.pt", 14, 64, 1, 768)
    put(cache, "aesthetic_model/emb_reader/sa_0_4_vit_l_14_linear.pth", shaken(torch.nn.Linear(768, 1), 2.0).state_dict())
    musiq = shaken(MUSIQ(pretrained=False))
    put(cache, "pyiqa_model/musiq_spaq_ckpt-358bb6af.pth", musiq.state_dict())
    config = OmegaConf.load(Path(vbench.__file__).parent / "third_party" / "amt" / "cfgs" / "AMT-S.yaml").network
    amt = build_from_cfg(config).eval()
    put(cache, "amt_model/amt-s.pth", {"state_dict": amt.state_dict()})
    raft = RAFT(EasyDict({"small": False, "mixed_precision": False, "alternate_corr": False})).eval()
    put(cache, "raft_model/models/raft-things.pth", {f"module.{k}": v for k, v in raft.state_dict().items()})
    with torch.no_grad():
        (other / "musiq.json").write_text(json.dumps([float(musiq(f[None] / 255)) for f in frames]))
        pair = (frames[:1], frames[2:3])
        for name, net, inputs in (("amt", Midpoint(amt), tuple(f / 255 for f in pair)), ("raft", Flow(raft), pair)):
            torch.jit.save(torch.jit.trace(net, inputs, check_trace=False), str(other / f"{name}.pt"))


main()
