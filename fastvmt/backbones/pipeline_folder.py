"""What the files of a diffusers pipeline folder say, and whether they are all there. No torch here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fastvmt.core.reading import parse_json, parse_toml
from fastvmt.core.spelling import shown
from fastvmt.core.validation import first_problem
from fastvmt.errors import UserError
from fastvmt.model.fields import Line

SAME = ("patch_size", "num_layers", "num_attention_heads", "attention_head_dim", "in_channels", "vace_layers")
"""What two transformers of one model have in common."""


class _Own(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class OwnDefaults(_Own):
    width: int = Field(default=0, ge=1)
    height: int = Field(default=0, ge=1)
    frames: int = Field(default=0, ge=1)
    steps: int = Field(default=0, ge=1)
    guidance: float = 0.0
    guidance_2: float | None = None
    shift: float = Field(default=0.0, gt=0)
    negative: str = ""
    metrics: list[str] = []


class OwnShape(_Own):
    parameters: int = Field(default=0, ge=0)


class OwnFacts(_Own):
    """What a folder's ``bench.toml`` may say; see ``Card``. What is not there is not taken from here."""

    note: str = ""
    domain: str = ""
    outside: str = ""
    caveat: Line = ""
    hub: str = ""
    download_gb: float = Field(0.0, ge=0)
    shape: OwnShape = OwnShape()
    defaults: OwnDefaults = OwnDefaults()
    methods: dict[str, dict[str, Any]] = {}


def lacking(folder: Path, texts: bool) -> str:
    """The first thing that a download which was interrupted has not brought, in a few words; "" when all is there."""
    for part in ("transformer", *_second(folder), "vae", *(["text_encoder"] if texts else [])):
        there = {p.name for p in (folder / part).glob("*.safetensors") if p.is_file()}
        if not there:
            return f"{part}/ holds no .safetensors file"
        indexed: set[str] = set()
        for index in sorted((folder / part).glob("*.safetensors.index.json")):
            try:
                indexed |= set(parse_json(index.read_bytes())["weight_map"].values())
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                return f"{part}/{index.name} cannot be read"
        if absent := sorted(indexed - there):
            return f"{part}/{absent[0]} is missing"
        if loose := sorted(n for n in there - indexed if re.search(r"-\d+-of-\d+\.safetensors$", n)):
            return f"the index that names {part}/{loose[0]} is missing"
    tokenizer = folder / "tokenizer"
    return "" if not texts or (tokenizer.is_dir() and any(tokenizer.iterdir())) else "tokenizer/ is missing or empty"


def _second(folder: Path) -> list[str]:
    """The second transformer's folder, where ``model_index.json`` says from which noise level on it runs."""
    try:
        index: Any = parse_json((folder / "model_index.json").read_bytes())
    except (OSError, ValueError):
        return []
    return ["transformer_2"] if isinstance(index, dict) and index.get("boundary_ratio") is not None else []


def read_json(path: Path) -> dict[str, Any]:
    try:
        value: Any = parse_json(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path.parent} is not a WanPipeline folder: {path.name} is missing.") from None
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({error}).") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: a JSON object is needed. Fetch the folder anew, or restore the file.")
    return value


def own_facts(path: Path) -> dict[str, Any]:
    """``bench.toml`` of a folder, where there is one.

    Raises:
        UserError: naming the key that holds something else than it has to.
    """
    try:
        facts = parse_toml(path.read_bytes()) if path.is_file() else {}
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: not valid TOML ({error}).") from None
    try:
        return OwnFacts.model_validate(facts).model_dump(exclude_unset=True)
    except ValidationError as error:
        raise UserError(f"{path}: {first_problem(error)}. Correct it, or take it out.") from None


def boundary(folder: Path, index: dict[str, Any]) -> float | None:
    """Where the second of two transformers takes over. One that no boundary names never runs, as in ``WanPipeline``.

    Raises:
        UserError: for a boundary that is none, without a second transformer, or with one of another shape.
    """
    found = index.get("boundary_ratio")
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 < found <= 1:
        raise UserError(f"{folder}: boundary_ratio in model_index.json is {shown(found)}; it is a number above 0, 1 at most.")
    if not (folder / "transformer_2").is_dir():
        raise UserError(f"{folder}: transformer_2/, which runs below boundary_ratio, is missing; fetch the folder anew.")
    one, two = (read_json(folder / part / "config.json") for part in ("transformer", "transformer_2"))
    if other := [k for k in SAME if one.get(k) != two.get(k)]:
        raise UserError(f"{folder}: {other[0]} differs between transformer and transformer_2; only two of one shape are run.")
    return float(found)


@contextmanager
def loading(folder: Path) -> Iterator[None]:
    """
    Raises:
        UserError: for weights that diffusers cannot put into the model that their config describes.
    """
    try:
        yield
    except (ValueError, KeyError, OSError) as error:
        said = shown(str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__, 160)
        raise UserError(f"{folder}: its weights are not those of its configs: {said} Fetch the folder anew.") from error


def refuse_code(folder: Path, index: dict[str, Any]) -> None:
    """diffusers looks for a part's class in a Python file beside its weights, and in whatever module its index names; a run
    folder may name a stranger's weights.

    Raises:
        UserError: naming the file, or the part and its module.
    """
    if script := next(iter(sorted([*folder.glob("*.py"), *folder.glob("*/*.py")])), None):
        raise UserError(f"{folder}: {script.relative_to(folder)} is code; a folder of weights holds none. Take it out.")
    for part, value in index.items():
        if isinstance(value, list) and value and value[0] not in (None, "diffusers", "transformers"):
            raise UserError(
                f"{folder}: model_index.json takes its {shown(part)} from '{shown(value[0])}'; only parts of diffusers and "
                "transformers are loaded. Use a plain WanPipeline folder."
            )
