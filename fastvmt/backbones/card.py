"""What is known about a backbone before it is loaded: a card (TOML) and the folder's own configs. No torch here."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastvmt.backbones.pipeline_folder import boundary, lacking, own_facts, read_json, refuse_code
from fastvmt.backbones.token_grid import Shape
from fastvmt.core.caches import hub_snapshots
from fastvmt.core.choices import hint
from fastvmt.core.content_address import digest
from fastvmt.core.disk.file_digests import sha256_of
from fastvmt.core.limits import MAX_MEMORY
from fastvmt.core.spelling import gib, shown
from fastvmt.errors import MissingWeights, SpecError, UserError

CARDS = Path(__file__).parent
TINY = Path(__file__).parent / "tiny" / "weights"
TINY_CLIP = Path(__file__).parent / "tiny" / "clip"
"""The CLIP that knows what the embedded backbone draws."""
GENERIC_DEFAULTS: dict[str, Any] = {
    "width": 832, "height": 480, "frames": 81, "steps": 50, "guidance": 5.0, "shift": 3.0, "negative": "",
    "metrics": [
        "motion_fidelity_tracked", "motion_fidelity_tracked_wrong", "camera_agreement", "object_agreement", "motion_fidelity",
        "motion_fidelity@smm-script", "motion_fidelity_wrong", "text_similarity", "temporal_consistency",
        "appearance_leakage", "appearance_leakage_wrong", "vbench:*", "time", "forwards", "peak_memory",
    ],
}  # fmt: skip


PIPELINES = ("WanPipeline", "WanVACEPipeline")
LARGEST_SIZE = 1 << 20
"""Of blocks, heads, channels and strides: a slip of the pen, or not meant to be run."""


@dataclass(frozen=True)
class Card:
    """A backbone's facts and defaults.

    Attributes:
        id: as the user names it.
        folder: where its weights lie, or None when they have to be fetched.
        hub: hub id, or "".
        download_gb: what fetching it takes, 0 when unknown.
        blocks, heads, head_dim, patch, latent_channels, vae_spatial, vae_temporal: from the configs.
        parameters: of one transformer.
        control_blocks: of the branch that takes a control video; 0 for a model that takes none.
        boundary: part of the noise levels below which a second transformer takes over; None for a model with one.
        per_token: each token is told the noise level by itself.
        vae_parameters: of the VAE; 0 for Wan2.1's.
        vae_channels: a pixel's channels in the widest stage of the VAE's encoder and decoder; half as many again where residual
            blocks carry what they enlarge (measured on Wan2.2's).
        defaults: width, height, frames, steps, guidance, guidance_2 (below the boundary), shift, negative, metrics.
        methods: parameter defaults by method id.
        note: what must stand under every table made with it.
        domain: what the ``source`` of references begins with that it was trained on, ``drawn`` say; "" for any clip.
        outside: the sentence about a run of other references.
        caveat: a sentence that every verdict about a run of it must say.
    """

    id: str
    folder: Path | None
    hub: str
    download_gb: float
    blocks: int
    heads: int
    head_dim: int
    patch: tuple[int, int, int]
    latent_channels: int
    vae_spatial: int
    vae_temporal: int
    parameters: int
    defaults: dict[str, Any] = field(default_factory=dict)
    methods: dict[str, dict[str, Any]] = field(default_factory=dict)
    note: str = ""
    domain: str = ""
    outside: str = ""
    caveat: str = ""
    control_blocks: int = 0
    boundary: float | None = None
    per_token: bool = False
    vae_parameters: int = 0
    vae_channels: tuple[float, float] = (96.0, 96.0)

    @property
    def multiple(self) -> int:
        """Width and height must be multiples of this many px."""
        return self.vae_spatial * self.patch[1]

    def said_of(self, sources: Iterable[str]) -> str:
        """``outside`` where one of these references is of another domain; else ""."""
        strange = self.domain and any(source.partition(":")[0] != self.domain for source in sources)
        return self.outside if strange else ""

    def latent_shape(self, width: int, height: int, frames: int) -> tuple[int, int, int, int, int]:
        """(1, C, F, H, W) of a video."""
        t = (frames - 1) // self.vae_temporal + 1
        return (1, self.latent_channels, t, height // self.vae_spatial, width // self.vae_spatial)

    def shape(self, width: int, height: int, frames: int, sigmas: tuple[float, ...]) -> Shape:
        _, _, t, h, w = self.latent_shape(width, height, frames)
        grid = (t // self.patch[0], h // self.patch[1], w // self.patch[2])
        return Shape(self.blocks, self.heads, grid, sigmas, self.control_blocks)

    def low(self, sigma: float) -> bool:
        """Whether a noise level is the second transformer's; in float32, as ``WanPipeline`` compares them."""
        if self.boundary is None:
            return False
        import numpy as np  # as in noise_levels

        return bool(np.float32(sigma) * np.float32(1000) < np.float32(self.boundary * 1000))

    def scales(self, guidance: float | None = None, second: float | None = None) -> tuple[float, float | None]:
        """Classifier-free scales above and below the boundary, as asked, else the card's; the second is None where it is the
        first one too, as where the first alone is asked for.

        Raises:
            SpecError: for a second one of a model with one transformer.
        """
        if second is not None and self.boundary is None:
            raise SpecError(f"--guidance-2 is for a backbone with two transformers; '{self.id}' has one. Leave it out.")
        if guidance is None:
            guidance, second = self.defaults["guidance"], self.defaults.get("guidance_2") if second is None else second
        return guidance, second if self.boundary is not None and second != guidance else None

    def scale(self, guidance: float, second: float | None) -> Callable[[float], float]:
        """The classifier-free scale by noise level."""
        return lambda sigma: second if second is not None and self.low(sigma) else guidance

    def lengths(self, frames: int) -> list[int]:
        """Legal numbers of frames below this one that hold a motion, ascending; the least there is where there is none."""
        return [*range(1 + self.vae_temporal, frames, self.vae_temporal)] or [1 + self.vae_temporal]

    def sizes(self, width: int, height: int) -> list[tuple[int, int]]:
        """Legal sizes below this one of about its shape, ascending (px); the least there is where there is none."""
        step = self.multiple
        widths = range(step, width, step)
        return [(w, min(height, max(step, round(height * w / width / step) * step))) for w in widths] or [(step, step)]

    def check_size(self, width: int, height: int, frames: int) -> None:
        """Refuse sizes the model cannot make, and those that no memory holds.

        Raises:
            UserError: naming the nearest legal values, or the limit.
        """
        step = self.vae_temporal
        if frames < 1 or (frames - 1) % step:
            low = max(1, (frames - 1) // step * step + 1)
            raise UserError(
                f"frames={frames} is not {step}k+1, which this backbone's causal VAE needs "
                f"(it would return {low}). Use --frames {low} or --frames {low + step}."
            )
        for name, value in (("width", width), ("height", height)):
            if value < self.multiple or value % self.multiple:
                low = max(self.multiple, value // self.multiple * self.multiple)
                raise UserError(
                    f"{name}={value} px is not a multiple of {self.multiple} (VAE stride {self.vae_spatial} x patch "
                    f"{self.patch[1]}). Use --{name} {low} or --{name} {low + self.multiple}."
                )
        if (size := width * height * frames * 3) > MAX_MEMORY:
            ways = [f"--frames {n}" for n in self.lengths(frames) if width * height * n * 3 <= MAX_MEMORY][-1:]
            ways += [f"--width {w} --height {h}" for w, h in self.sizes(width, height) if w * h * frames * 3 <= MAX_MEMORY][-1:]
            raise UserError(
                f"A video of {frames} frames, width {width}, height {height} px takes {gib(size)} decoded, more than the limit "
                f"of {gib(MAX_MEMORY)}. Use {', or '.join(ways) or 'fewer frames and a smaller size'}."
            )


def known() -> list[str]:
    """Backbones with a card of their own."""
    return ["tiny", *sorted(p.stem for p in CARDS.glob("*.toml"))]


def load(name: str, texts: bool = True) -> Card:
    """The card of ``tiny``, of a named backbone, of a diffusers folder, or of a hub id that is on this machine.

    Args:
        texts: texts will be encoded; without, the folder needs neither text encoder nor tokenizer.

    Raises:
        SpecError: for a name that is none of these.
        UserError: for a folder that is not a WanPipeline, lacks a file, or is one of several experts.
    """
    card_file = CARDS / f"{name}.toml"
    if name == "tiny":
        return _from_folder(name, TINY, {}, texts)
    if name in known():  # and no other file that a name could lead to
        facts = tomllib.loads(card_file.read_text("utf-8"))
        folder = hub_folder(facts["hub"], texts)
        if folder is not None:
            return _from_folder(name, folder, facts, texts)
        shape: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in facts["shape"].items()}
        return Card(
            id=name, folder=None, hub=facts["hub"], download_gb=facts["download_gb"],
            defaults=GENERIC_DEFAULTS | facts["defaults"], methods=facts["methods"],
            **shape,
        )  # fmt: skip
    if Path(name).is_dir():
        folder = Path(name).resolve()  # workers start in another folder, where a relative name would be lost
        return _from_folder(str(folder), folder, {}, texts)
    if name.count("/") == 1 and not name.startswith((".", "/")):
        folder = hub_folder(name, texts)
        if folder is not None:
            return _from_folder(name, folder, {"hub": name}, texts)
        raise MissingWeights(
            f"The weights of '{name}' are not on this machine and their size is not known here: fetch them with "
            f"`hf download {name}`, or give a folder that holds a WanPipeline."
        )
    raise SpecError(
        f"No backbone is called '{shown(name)}'. {hint(name, known())} Else give a hub id (owner/name), or a folder "
        "that holds a WanPipeline."
    )


def require_weights(card: Card) -> Path:
    """The folder of the weights.

    Raises:
        MissingWeights: one sentence on what to fetch, how large it is, and how.
    """
    if card.folder is None:
        raise MissingWeights(
            f"The weights of '{card.id}' are not on this machine: fetch them (about {card.download_gb:.0f} GB) with "
            f"`hf download {card.hub}`, then run the same command again."
        )
    return card.folder


def require_texts(card: Card) -> Path:
    """The folder of the weights, with all that encodes texts in it.

    Raises:
        MissingWeights, UserError: saying what is not there.
    """
    folder = require_weights(card)
    _refuse_torn(folder, True)
    return folder


def hub_folder(repo: str, texts: bool = True) -> Path | None:
    """The newest complete local snapshot of a hub repository, or None. No network is used.

    Args:
        texts: as in ``load``.
    """
    snapshots = hub_snapshots(repo)
    if not snapshots.is_dir():
        return None
    whole = [p for p in snapshots.iterdir() if (p / "model_index.json").is_file() and not lacking(p, texts)]
    return max(whole, key=lambda p: p.stat().st_mtime) if whole else None


def _refuse_torn(folder: Path, texts: bool) -> None:
    if lacks := lacking(folder, texts):
        raise UserError(f"{folder}: {lacks}; fetch the folder anew, or bring the file there.")


def _from_folder(name: str, folder: Path, facts: dict[str, Any], texts: bool) -> Card:
    index = read_json(folder / "model_index.json")
    if index.get("_class_name") not in PIPELINES:
        raise UserError(f"{folder}: model_index.json says {index.get('_class_name')}; a {' or a '.join(PIPELINES)} is needed.")
    refuse_code(folder, index)
    takes_over = boundary(folder, index)
    transformer, vae = (read_json(folder / part / "config.json") for part in ("transformer", "vae"))
    facts = facts | own_facts(folder / "bench.toml")
    try:
        t, h, w = (int(n) for n in transformer["patch_size"])
        sizes = {
            "blocks": int(transformer["num_layers"]), "heads": int(transformer["num_attention_heads"]),
            "head_dim": int(transformer["attention_head_dim"]), "latent_channels": int(vae["z_dim"]),
            "vae_spatial": int(vae.get("scale_factor_spatial", 8)), "vae_temporal": int(vae.get("scale_factor_temporal", 4)),
        }  # fmt: skip
        base, pixels = int(vae.get("base_dim", 96)), int(vae.get("patch_size") or 1) ** 2
        decoder = int(vae.get("decoder_base_dim") or base) * (1.5 if vae.get("is_residual") else 1.0)
        if wrong := [f"{n}" for n in (t, h, w, base, pixels, *sizes.values()) if not 1 <= n <= LARGEST_SIZE]:
            raise ValueError(f"{wrong[0]} cannot be one")
        control = len(transformer.get("vace_layers", ()))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{folder}: the config.json of its transformer or vae lacks or misstates a size ({type(error).__name__}: {error}). "
            "Fetch the folder anew, or restore the file."
        ) from None
    _refuse_torn(folder, texts)
    return Card(
        id=name, folder=folder, hub=facts.get("hub", ""), download_gb=facts.get("download_gb", 0.0), patch=(t, h, w),
        parameters=facts.get("shape", {}).get("parameters", 0), defaults=GENERIC_DEFAULTS | facts.get("defaults", {}),
        methods=facts.get("methods", {}), note=facts.get("note", ""), domain=facts.get("domain", ""),
        outside=facts.get("outside", ""), caveat=facts.get("caveat", ""), control_blocks=control, boundary=takes_over,
        per_token=bool(index.get("expand_timesteps")), vae_channels=(base / pixels, decoder / pixels), **sizes,
    )  # fmt: skip


def weights_digest(card: Card) -> str:
    """Digest over names and contents of every config and weight file; ``unfetched`` without weights."""
    if card.folder is None:
        return "unfetched"
    kinds = (".json", ".safetensors", ".model", ".txt")
    paths = [p for p in sorted(card.folder.rglob("*")) if p.suffix in kinds and p.is_file()]
    rows = [[p.relative_to(card.folder).as_posix(), d] for p, d in zip(paths, sha256_of(paths), strict=True)]
    return digest(rows)
