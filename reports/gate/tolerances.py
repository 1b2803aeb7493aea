"""What a gate lets pass, read from TOML. Unknown keys are refused by file and key.

[metrics."motion_fidelity*"]      # a metric's label or a pattern; the first that matches in the file counts
absolute = 0.02                   # or: relative = 0.1
methods = ["fastvmt*"]            # without it every method that is no control

[[speed_up]]                      # seconds of `over` by seconds of `of`, paired inside the run
of = "fastvmt"
over = "ditflow"
stage = "guidance"                # without it the whole video, loading apart
over_stage = "denoise"            # of `over`; without it the same stage
clock = "processor"               # of stages made on a CPU: without what others made it wait for
at_least = 1.5
relative = 0.1                    # against the baseline's own speed-up

[[better]]                        # a method over another one inside the run
metric = "trajectory"
of = "fastvmt"
than = "none"
by = 0.3
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from fastvmt.core.reading import parse_toml
from fastvmt.errors import SpecError
from fastvmt.model import Frozen
from fastvmt.reports.gate.baseline import MetricFacts

Amount = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
Floor = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
Share = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False, strict=True)]
SCORE, TIMING = 0.02, 0.1
"""Without a file: how much a score may lose, absolutely, and a time, memory or energy, relatively."""


class Tolerance(Frozen):
    """How much of a metric may be lost: in its own unit, or as a share of the baseline."""

    absolute: Amount | None = None
    relative: Share | None = None
    methods: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _one(self) -> Tolerance:
        if (self.absolute is None) == (self.relative is None):
            raise ValueError("exactly one of absolute and relative is needed")
        return self

    def covers(self, label: str, control: bool) -> bool:
        if self.methods is None:
            return not control
        return any(fnmatchcase(label, pattern) for pattern in self.methods)


class SpeedUp(Frozen):
    of: str
    over: str
    stage: str = ""
    over_stage: str = ""
    clock: Literal["wall", "processor"] = "wall"
    at_least: Floor | None = None
    relative: Share | None = None

    @model_validator(mode="after")
    def _some(self) -> SpeedUp:
        if self.at_least is None and self.relative is None:
            raise ValueError("at_least, relative or both are needed")
        if self.of == self.over:
            raise ValueError("of and over are the same method")
        if not self.stage and (self.over_stage or self.clock == "processor"):
            raise ValueError("over_stage and processor seconds need a stage")
        return self

    @property
    def name(self) -> str:
        facts = [self.stage + (f" by {self.over_stage}" if self.over_stage else "")] if self.stage else []
        facts += ["processor"] if self.clock == "processor" else []
        return f"speed-up over {self.over}" + (f" ({', '.join(facts)})" if facts else "")


class Better(Frozen):
    metric: str
    of: str
    than: str
    by: Amount = 0.0

    @model_validator(mode="after")
    def _two(self) -> Better:
        if self.of == self.than:
            raise ValueError("of and than are the same method")
        return self


class Tolerances(Frozen):
    """A whole file; ``metrics`` None stands for the values of this module."""

    metrics: dict[str, Tolerance] | None = None
    speed_up: tuple[SpeedUp, ...] = ()
    better: tuple[Better, ...] = ()

    @property
    def patterns(self) -> list[str]:
        return ["*"] if self.metrics is None else list(self.metrics)

    def under(self, pattern: str, label: str, facts: MetricFacts) -> Tolerance:
        """What a metric may lose under a pattern; of counted work nothing, unless the file names it by its own label."""
        found = Tolerance(relative=TIMING) if facts.timing else Tolerance(absolute=SCORE)
        if self.metrics is not None:
            found = self.metrics[pattern]
        return Tolerance(absolute=0.0, methods=found.methods) if facts.count and pattern != label else found


def read(path: Path) -> Tolerances:
    """A file of tolerances.

    Raises:
        SpecError: naming file and key.
    """
    try:
        raw = parse_toml(path.read_bytes())
    except OSError as error:
        raise SpecError(f"--tolerances {path}: the file cannot be read ({error.strerror}).") from None
    except ValueError as error:
        raise SpecError(f"{path}: not valid TOML ({error}).") from None
    try:
        found = Tolerances.model_validate(raw | {"metrics": raw.get("metrics", {})})
    except ValidationError as error:
        raise SpecError(f"{path}: {_sentence(error)}") from None
    if not (found.metrics or found.speed_up or found.better):
        raise SpecError(f'{path}: it asks for nothing. Give it a [metrics."NAME"], a [[speed_up]] or a [[better]].')
    return found


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        depth = len(first["loc"])
        kinds: dict[str, type[Frozen]] = {"metrics": Tolerance, "speed_up": SpeedUp, "better": Better}
        known = kinds[str(first["loc"][0])] if depth > 1 else Tolerances
        return f"{place}: there is no such key; known here: {', '.join(known.model_fields)}."
    words = first["msg"].removeprefix("Value error, ")
    return f"{place}: {words[:1].lower()}{words[1:]}."
