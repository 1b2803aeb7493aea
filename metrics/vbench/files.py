"""What VBench's seven dimensions need on this machine: its environment and its weight files, in VBench's own layout.

Sizes in words are those of the published files, as far as known; ``at_least`` counts the parameters' bytes alone, so a torn
download or an error page is found. A SHA-256 stands here only where one is published (in the address the package itself
fetches from, in the file's name, or as users of the file quote it); of the others the computed one goes into the identity.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from fastvmt.core.caches import place, torch_home
from fastvmt.core.disk.file_digests import code_sha256, sha256_of
from fastvmt.plugins.environments import Recipe, find

VERSION = "0.1.5"
FPS = 16
"""The rate every clip is taken to have, whatever its file says. It decides only which frames dynamic degree looks at (VBench
takes about eight a second): 16 is what Wan makes, so every second frame, as VBench does with the papers' videos at 15 or 16."""
RECIPE = Recipe(
    name="vbench",
    python="3.11",
    requirements=(f"vbench=={VERSION}", "setuptools<82"),  # openai-clip imports pkg_resources, gone from setuptools 82
    constraints=Path(__file__).with_name("vbench-constraints.txt"),
    imports=("vbench", "clip", "decord", "pyiqa"),
    size="about 6.2 GB, mostly torch",
)
DINO_COMMIT = "7c446df5b9f45747937fb0d72314eb9f7b66930a"
REPO = "dino_model/facebookresearch_dino_main/hubconf.py"
DINO = "dino_model/dino_vitbase16_pretrain.pth"
CLIP_B, CLIP_L = "clip_model/ViT-B-32.pt", "clip_model/ViT-L-14.pt"
HEAD = "aesthetic_model/emb_reader/sa_0_4_vit_l_14_linear.pth"
AMT, RAFT, MUSIQ = (
    "amt_model/amt-s.pth", "raft_model/models/raft-things.pth", "pyiqa_model/musiq_spaq_ckpt-358bb6af.pth",
)  # fmt: skip
_CURL = "curl -L --create-dirs -o {path} "


@dataclass(frozen=True)
class WeightFile:
    """One file: bytes it must at least have, its size in words, a command that fetches it, its SHA-256 (or first digits)."""

    at_least: int
    size: str
    fetch: str
    sha256: str = ""


FILES = {
    DINO: WeightFile(
        343_000_000, "about 343 MB",
        _CURL + "https://dl.fbaipublicfiles.com/dino/dino_vitbase16_pretrain/dino_vitbase16_pretrain.pth",
    ),
    REPO: WeightFile(
        1, "under 1 MB, code",
        f"git clone -q https://github.com/facebookresearch/dino {{folder}} && git -C {{folder}} checkout -q {DINO_COMMIT}",
        "54160f010b0ccb87d8bac47b2b5c22278a231a02c487fdc8c7cf2a657a0d6489",
    ),
    CLIP_B: WeightFile(
        302_000_000, "about 350 MB",
        _CURL + "https://openaipublic.azureedge.net/clip/models/"
        "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af/ViT-B-32.pt",
        "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
    ),
    CLIP_L: WeightFile(
        855_000_000, "about 0.9 GB",
        _CURL + "https://openaipublic.azureedge.net/clip/models/"
        "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836/ViT-L-14.pt",
        "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",
    ),
    HEAD: WeightFile(
        3_076, "about 4 kB",
        _CURL + "https://github.com/LAION-AI/aesthetic-predictor/raw/main/sa_0_4_vit_l_14_linear.pth",
    ),
    AMT: WeightFile(11_900_000, "about 12 MB", _CURL + "https://huggingface.co/lalala125/AMT/resolve/main/amt-s.pth"),
    RAFT: WeightFile(
        21_000_000, "about 21 MB inside models.zip",
        "curl -L --create-dirs -o {root}/raft_model/models.zip https://dl.dropboxusercontent.com/s/4j4z58wuv8o0mfz/models.zip"
        " && unzip -d {root}/raft_model {root}/raft_model/models.zip",
        "fcfa4125d6418f4de95d84aec20a3c5f4e205101715a79f193243c186ac9a7e1",
    ),
    MUSIQ: WeightFile(
        108_000_000, "about 108 MB",
        _CURL + "https://github.com/chaofengc/IQA-PyTorch/releases/download/v0.1-weights/musiq_spaq_ckpt-358bb6af.pth",
        "358bb6af",
    ),
}  # fmt: skip
NEEDED = {
    "subject_consistency": (DINO, REPO),
    "background_consistency": (CLIP_B,),
    "motion_smoothness": (AMT,),
    "dynamic_degree": (RAFT,),
    "aesthetic_quality": (CLIP_L, HEAD),
    "imaging_quality": (MUSIQ,),
    "temporal_flickering": (),
}


def root() -> Path:
    """VBench's cache: ``$VBENCH_CACHE_DIR``, or ``~/.cache/vbench``."""
    return place("VBENCH_CACHE_DIR", "~/.cache/vbench")


def located(name: str) -> Path:
    """Where a file is, or belongs. DINO's is also taken from torch.hub's folder, where the package itself looks for it."""
    own = root() / name
    hub = torch_home() / "hub" / "checkpoints" / Path(name).name
    return hub if name == DINO and not own.is_file() and hub.is_file() else own


def lacking(names: tuple[str, ...]) -> str:
    """One sentence on the files that are not there or not the published ones: what, how large, how to fetch; "" if none.

    Sizes are looked at first; a file with a published SHA-256 is hashed once per machine and then remembered.
    """
    faults = [fault for name in names if (fault := _fault(name))]
    return "; ".join(faults) + "." if faults else ""


def _fault(name: str) -> str:
    file, path = FILES[name], located(name)
    home = shlex.quote(str(root()))
    command = file.fetch.format(path=shlex.quote(str(path)), folder=shlex.quote(str(path.parent)), root=home)
    fetch = f"fetch it ({file.size}) with `{command}`"
    if not path.is_file():
        what = "DINO's code" if name == REPO else "the weight file"
        return f"{what} {name} is not in {root()}: {fetch}"
    if path.stat().st_size < file.at_least:
        return f"{path} is torn ({path.stat().st_size} bytes, fewer than its parameters have): {fetch} again"
    if file.sha256 and not (found := _sha256(name)).startswith(file.sha256):
        if name == REPO:
            return f"the code in {path.parent} is not facebookresearch/dino at {DINO_COMMIT[:7]}: remove it and {fetch}"
        return f"{path} is not the published file (its SHA-256 begins with {found[:8]}, not {file.sha256[:8]}): {fetch} again"
    return ""


def digests(names: tuple[str, ...]) -> dict[str, str]:
    """SHA-256 of each file by name; ``unfetched`` where it is not there."""
    return {n: _sha256(n) if located(n).is_file() else "unfetched" for n in names}


def _sha256(name: str) -> str:
    """Of the file; of code, which runs, over names and bytes of every Python file beside it."""
    if name != REPO:
        return sha256_of([located(name)])[0]
    folder = located(name).parent
    return code_sha256(folder, sorted(folder.glob("*.py")))


def no_environment() -> str:
    """One sentence when VBench's environment was not made, or ""."""
    if find(RECIPE.name):
        return ""
    return f"VBench is not here in an environment of its own: make it once with `bench env create vbench` ({RECIPE.size})."
