"""What is to be made: MethodSpec, Setting, Job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from fastvmt.core.content_address import canonical_json, job_key
from fastvmt.model.case import IMPORTED, REFERENCE, Case, Frozen
from fastvmt.model.fields import Amount, Count, Facts, Hex, Label, Line, Number, Seed, Size


class MethodSpec(Frozen):
    """A method with every parameter resolved to an absolute value."""

    label: Label
    """As the user wrote it, e.g. ``fastvmt:no-window``."""
    method: Label
    version: Count
    params: Facts
    preset: Line = ""
    control: bool = False

    @property
    def imported(self) -> bool:
        """Made by somebody else: its parameters are claims."""
        return self.method == IMPORTED

    @property
    def ceiling(self) -> bool:
        """The references themselves, scored as if a method had made them: never ranked or compared, and made by nobody."""
        return self.method == REFERENCE

    def identity(self) -> dict[str, Any]:
        """What determines the video: not the label."""
        return {"method": self.method, "version": self.version, "params": self.params}


class Setting(Frozen):
    """What all jobs of a run share and what determines the video."""

    backbone: Label
    """Name, hub id, or the absolute path of a folder."""
    weights_digest: Annotated[str, Field(pattern=r"^[0-9a-z]{0,64}$")]
    width: Size
    height: Size
    frames: Size
    steps: Size
    guidance: Number
    guidance_2: Number | None = Field(None, exclude_if=lambda scale: scale is None)
    """The scale below a backbone's boundary, where a second transformer takes over; None where it is ``guidance`` too."""
    solver: Literal["euler"] = "euler"
    sigmas: tuple[Number, ...]
    """steps + 1 noise levels, falling, the last one 0."""
    dtype: Line
    negative: str
    protocol: Literal["matched-start", "as-published", "matched-budget"] = "matched-start"
    """What methods have in common; see ``fastvmt.jobs.protocol``. Runs older than this field started all from noise."""
    budget: Amount | None = None
    """Forward-equivalents of one video under ``matched-budget``."""

    def identity(self) -> dict[str, Any]:
        """What goes into every key: all of it, less where a folder lies and what a run of the default protocol need not say."""
        silent = {"protocol": "matched-start", "budget": None}
        said = self.model_dump(mode="json")
        if Path(self.backbone).is_absolute():  # its weights are in weights_digest
            said["backbone"] = ""
        return {k: v for k, v in said.items() if k not in silent or v != silent[k]}

    @property
    def called(self) -> str:
        """The backbone as tables and pages name it: of a folder on this machine its last part."""
        return Path(self.backbone).name if Path(self.backbone).is_absolute() else self.backbone

    def published(self) -> Setting:
        """The same setting, without the way to a folder on somebody's machine."""
        return self.model_copy(update={"backbone": f"/{self.called}"}) if Path(self.backbone).is_absolute() else self

    @property
    def scales(self) -> str:
        """Classifier-free guidance as tables head it: ``guidance 5``, ``guidance 4, then 3``."""
        return f"guidance {self.guidance:g}" + ("" if self.guidance_2 is None else f", then {self.guidance_2:g}")

    @property
    def fairness(self) -> str:
        """The protocol as tables head it: ``protocol matched-budget (40 forward-equivalents)``."""
        return f"protocol {self.protocol}" + ("" if self.budget is None else f" ({self.budget:g} forward-equivalents)")


class Job(Frozen):
    """One video to be made. ``key`` is its content address."""

    key: Hex
    method: MethodSpec
    case_id: Line
    case_digest: Hex
    seed: Seed

    @property
    def name(self) -> str:
        """``bus--1 fastvmt s0``: case, method and seed, for people."""
        return f"{self.case_id} {self.method.label} s{self.seed}"

    @classmethod
    def make(cls, method: MethodSpec, case: Case, seed: int, setting: Setting) -> Job:
        """The job of one method, case and seed; ``jobs.JobGrid`` makes many."""
        what = case.digest()
        key = job_key(what, canonical_json(method.identity()), seed, canonical_json(setting.identity()))
        return cls(key=key, method=method, case_id=case.id, case_digest=what, seed=seed)
