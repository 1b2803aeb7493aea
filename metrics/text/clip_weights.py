"""What ``clip=...`` names: an architecture, its weights and its preprocessing, all told without loading torch.

    ViT-B-32-quickgelu/openai            an open_clip architecture and weights of the hub, from the local cache
    ViT-L-14-quickgelu/ViT-L-14.pt       an architecture and a file, .safetensors, .pt, .pth or .bin (absolute: NAME//path)
    local-dir:/path                      a folder with open_clip_config.json and open_clip_model.safetensors
    tiny-shapes                          the small CLIP that ships inside, which knows drawn shapes and nothing else

OpenAI's weights are right only with quick-GELU activations. open_clip computes on with the wrong ones, so that a
mismatch is refused here, as far as the file shows where it came from.
"""

from __future__ import annotations

import importlib.util
import json
import zipfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastvmt.backbones.card import TINY_CLIP
from fastvmt.core.caches import hub_snapshots
from fastvmt.core.content_address import digest
from fastvmt.core.disk.file_digests import sha256_of
from fastvmt.core.reading import parse_json
from fastvmt.errors import MissingWeights, SpecError

DEFAULT, TINY = "ViT-B-32-quickgelu/openai", "tiny-shapes"
HUB: dict[str, tuple[str, float]] = {
    "ViT-B-32-quickgelu/openai": ("timm/vit_base_patch32_clip_224.openai", 0.6),
    "ViT-B-16-quickgelu/openai": ("timm/vit_base_patch16_clip_224.openai", 0.6),
    "ViT-L-14-quickgelu/openai": ("timm/vit_large_patch14_clip_224.openai", 1.7),
    "ViT-L-14-336-quickgelu/openai": ("timm/vit_large_patch14_clip_336.openai", 1.7),
    "ViT-B-32/laion2b_s34b_b79k": ("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", 0.6),
    "ViT-L-14/datacomp_xl_s13b_b90k": ("laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K", 1.7),
}
"""Repository and GB (parameters at 4 bytes), by spec; all of them with ``PREPROCESS``."""
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
FOLDER_WEIGHTS = (  # the order in which open_clip looks through a local-dir
    "open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth", "model.safetensors", "pytorch_model.bin", "pytorch_model.pth", "model.pth",
)  # fmt: skip
FILES = (".safetensors", ".pt", ".pth", ".bin")
CONFIG, WORD_LIST = "open_clip_config.json", "words.json"
PREPROCESS: dict[str, Any] = {
    "mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711],
    "interpolation": "bicubic", "resize_mode": "shortest",
}  # fmt: skip


@dataclass(frozen=True)
class Clip:
    """A model that a spec names.

    Attributes:
        spec: with absolute paths.
        name: open_clip architecture, or ``local-dir:/path``.
        config: open_clip's ``model_cfg``; empty when its folder is not there.
        preprocess: size, mean, std, interpolation, resize_mode.
        weights: the file, or None when it is not on this machine.
        absent: one sentence on what to fetch or give when ``weights`` is None.
    """

    spec: str
    name: str
    config: dict[str, Any]
    preprocess: dict[str, Any]
    weights: Path | None
    absent: str = ""

    @property
    def local(self) -> bool:
        return self.name.startswith("local-dir:")

    @property
    def torchscript(self) -> bool:
        """Is the file TorchScript, as those that OpenAI published?"""
        if self.weights is None or not zipfile.is_zipfile(self.weights):
            return False
        with zipfile.ZipFile(self.weights) as archive:
            return any(n.endswith("/constants.pkl") for n in archive.namelist())

    @property
    def from_openai(self) -> bool:
        """Do tag, file name or format say that OpenAI trained these weights?"""
        return "openai" in self.spec.rpartition("/")[2].lower() or self.torchscript


def cut_said(label: str, prompts: int, limit: int) -> str:
    """What has to be said of prompts that a CLIP does not read to their end: before a run, and under its table."""
    which = "1 prompt is" if prompts == 1 else f"{prompts} prompts are"
    return f"{label}: {which} longer than the {limit} tokens that its CLIP reads; what stands behind them is not scored."


def read(spec: str) -> Clip:
    """The model behind a spec, whether its weights are here or not.

    Raises:
        SpecError: for a spec that names nothing, and for OpenAI's weights without quick-GELU.
    """
    if spec == TINY:
        found = _folder(TINY, TINY_CLIP)
    elif spec.startswith("local-dir:"):
        folder = Path(spec.removeprefix("local-dir:")).expanduser().absolute()
        found = _folder(f"local-dir:{folder}", folder)
    else:
        found = _named(spec)
    if found.from_openai and found.config and not found.config.get("quick_gelu", False):
        quick = 'a config with "quick_gelu": true' if found.local else f"{found.name}-quickgelu"
        raise SpecError(
            f"clip={spec}: OpenAI's weights were trained with quick-GELU activations and {found.name} has others, which "
            f"gives wrong features without any error; use {quick}."
        )
    return found


def _architectures() -> Path:
    """open_clip's own configs, found without importing it."""
    package = importlib.util.find_spec("open_clip")
    assert package and package.origin
    return Path(package.origin).parent / "model_configs"


def _named(spec: str) -> Clip:
    name, _, rest = spec.partition("/")
    path = _architectures() / f"{name}.json"
    file = rest.endswith(FILES)
    if not rest or not path.is_file() or not (file or spec in HUB or rest == "openai"):
        raise SpecError(
            f"clip={spec}: use one of {', '.join((*HUB, TINY))}, an open_clip architecture with a file "
            "(ViT-B-32-quickgelu//path/to/weights.safetensors), or local-dir:/path."
        )
    config = json.loads(path.read_bytes())
    text = config["text_cfg"]
    if "hf_model_name" in text or "hf_tokenizer_name" in text:
        raise SpecError(f"clip={spec}: the tokenizer of {name} lies on the hub; give a local-dir:/path that holds it.")
    preprocess = PREPROCESS | {"size": config["vision_cfg"]["image_size"]}
    if file:
        weights = Path(rest).expanduser().absolute()
        here = weights if weights.is_file() else None
        return Clip(f"{name}/{weights}", name, config, preprocess, here, f"there is no file {weights}; give its right path.")
    if spec not in HUB:  # an /openai tag on an architecture without quick-GELU, or one with no such weights
        if config.get("quick_gelu"):
            raise SpecError(f"clip={spec}: these weights are not known here; use one of {', '.join(HUB)}, or a file.")
        return Clip(spec, name, config, preprocess, None)
    repo, size = HUB[spec]
    absent = f"its weights are not on this machine; fetch them (about {size} GB) with `hf download {repo} {WEIGHTS[0]}`."
    return Clip(spec, name, config, preprocess, _hub_file(repo), absent)


def _folder(spec: str, folder: Path) -> Clip:
    name, file = f"local-dir:{folder}", folder / CONFIG
    if not file.is_file():
        return Clip(spec, name, {}, {}, None, f"{folder} holds no {CONFIG}; give the folder of an open_clip model.")
    try:
        said = parse_json(file.read_bytes())
        config, size = said["model_cfg"], said["model_cfg"]["vision_cfg"]["image_size"]
    except (ValueError, KeyError, TypeError) as error:
        raise SpecError(f"clip={spec}: {file} is not an open_clip config ({type(error).__name__}: {error}).") from None
    if "hf_model_name" in config["text_cfg"]:
        raise SpecError(f"clip={spec}: its text encoder lies on the hub, which is never asked; use another model.")
    own = {k: v for k, v in said.get("preprocess_cfg", {}).items() if k in PREPROCESS and v is not None}
    weights = next((folder / n for n in FOLDER_WEIGHTS if (folder / n).is_file()), None)
    absent = f"{folder} holds no {WEIGHTS[0]}; put the weights there."
    return Clip(spec, name, config, PREPROCESS | own | {"size": size}, weights, absent)


def _hub_file(repo: str) -> Path | None:
    """The newest weights of a repository in the local cache; no network is used."""
    found = [p for name in WEIGHTS for p in hub_snapshots(repo).glob(f"*/{name}") if p.is_file()]
    return max(found, key=lambda p: (p.name == WEIGHTS[0], p.stat().st_mtime), default=None)


def missing(spec: str) -> str:
    """What has to be fetched before this model can be used: one sentence, or ""."""
    found = read(spec)
    return found.absent if found.weights is None else ""


def weights_identity(spec: str) -> dict[str, Any]:
    """Everything of a model that a feature depends on: weights, architecture and preprocessing, but no paths.

    Raises:
        MissingWeights: when the weights are not on this machine.
    """
    found = read(spec)
    if found.weights is None:
        raise MissingWeights(f"clip={spec}: {found.absent}")
    words = found.weights.parent / WORD_LIST
    digests = sha256_of([found.weights, *([words] if found.local and words.is_file() else [])])
    named = found.spec == TINY or found.spec in HUB
    return {
        "clip": found.spec if named else found.name.partition(":")[0],
        "weights": digests[0],
        "architecture": digest([found.config, *digests[1:]])[:16],
        "preprocess": found.preprocess,
        "open_clip": version("open-clip-torch"),
    }
