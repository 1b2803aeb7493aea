"""What ``Method.prepare`` works with: the reference's frames, a place to note things, and a checkpoint to go on from."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastvmt.core.disk.atomic import write_atomic
from fastvmt.core.reading import parse_json
from fastvmt.media.files import Frames
from fastvmt.model import Frozen, Reference
from fastvmt.model.fields import Amount, Count, Number

if TYPE_CHECKING:
    from torch import Tensor


class Spent(Frozen):
    """What training cost where it ran, over all its parts when it was interrupted; work lost by a kill is not in it."""

    seconds: Amount = 0.0
    forward_equivalents: Amount = 0.0
    energy_joules: Number | None = None
    peak_memory_bytes: Count = 0
    peak_reserved_bytes: Count = 0

    def plus(self, other: Spent) -> Spent:
        a, b = self.energy_joules, other.energy_joules
        peaks = {k: max(getattr(self, k), getattr(other, k)) for k in ("peak_memory_bytes", "peak_reserved_bytes")}
        return Spent(
            seconds=self.seconds + other.seconds, forward_equivalents=self.forward_equivalents + other.forward_equivalents,
            energy_joules=None if a is None or b is None else a + b, **peaks,
        )  # fmt: skip


@dataclass
class Checkpoint:
    """The file from which a killed training goes on.

    Attributes:
        path: a single file, replaced atomically.
        spent: what this process has spent since it took over.
        before: what earlier processes had spent when they last wrote.
    """

    path: Path
    spent: Callable[[], Spent]
    before: Spent | None = None

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Tensors and facts as they were saved, or None without a usable file."""
        from safetensors import SafetensorError, safe_open

        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                kept = parse_json(file.metadata()["facts"])
                before = Spent.model_validate(kept["spent"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        except (SafetensorError, OSError, ValueError, KeyError, TypeError):
            self.path.unlink(missing_ok=True)  # damaged: training begins anew
            return None
        self.before = before
        return tensors, kept["facts"]

    def save(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        from safetensors.torch import save

        kept = json.dumps({"spent": self.total().model_dump(), "facts": facts})
        write_atomic(self.path, save({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, {"facts": kept}))

    def total(self) -> Spent:
        """What was spent so far, earlier parts included."""
        now = self.spent()
        return now if self.before is None else self.before.plus(now)


@dataclass
class Workspace:
    """What ``Method.prepare`` may use beside the job's context.

    Attributes:
        reference: what is known of the clip.
        frames: function returning its frames, uint8 RGB (T, H, W, 3), at the run's size, read-only.
        tick: called with (step, steps).
        checkpoint: None where nothing is kept (tests, sweeps).
        log: what stands in ``meta.json``.
    """

    reference: Reference
    frames: Callable[[], Frames]
    tick: Callable[[int, int], None] = lambda i, n: None
    checkpoint: Checkpoint | None = None
    log: dict[str, Any] = field(default_factory=dict)
