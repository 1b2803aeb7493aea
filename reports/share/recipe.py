"""One row as a recipe: everything that makes it again on another machine, and the numbers that it then should have.

    row, command, note
    [request]            fields of ``Request``: what ``bench reproduce`` runs
    [method]             as it was resolved, all parameters absolute
    [setting]            backbone with the digest of its weights, size, steps, noise levels, protocol
    [suite]              name, digest, and the digest of each case
    [metrics."LABEL"]    what each metric says of itself: version, backend, weights
    [versions] [machine]
    [plugins]            files that the row needs, by the digest of their bytes; never where they lie
    [cells."LABEL"]      mean, interval, n

A recipe is data: reading one runs nothing, and a plug-in is loaded only where the user names its file himself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from fastvmt.backbones import card as cards
from fastvmt.core.choices import one_of
from fastvmt.core.reading import parse_toml
from fastvmt.core.spelling import public, shown
from fastvmt.core.validation import first_problem
from fastvmt.errors import SpecError
from fastvmt.jobs.run_config import Asked, RunConfig
from fastvmt.model import Frozen, MethodSpec, Setting
from fastvmt.model.fields import Count, Facts, Hex, Label, Line
from fastvmt.plugins import registry
from fastvmt.plugins.metric_labels import name_of
from fastvmt.plugins.registry import BUILTIN
from fastvmt.reports.share.claims import Claim, artefacts_of, claims_of, machine_of, versions_of
from fastvmt.reports.share.toml import plain, toml
from fastvmt.reports.tidy import Tidy
from fastvmt.runner.plan.command import request_words
from fastvmt.runner.plan.methods import CONTROLS
from fastvmt.runner.settings import Request, options_of, words_of

FORMAT = 1
_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
LARGEST = 16 << 20
"""Bytes of a recipe: a suite of 100,000 cases has as many lines."""
NOT_OURS = ("plugins", "root", "prompts", "controls", "metrics")
"""Fields of ``Request`` that a recipe has no say in: files of whoever reads it, the other rows, and what its cells say."""


class SuiteFacts(Frozen):
    """``cases``: the digest of each case's frames and texts, by id."""

    name: Line
    digest: Hex
    cases: dict[Label, Hex]


class MetricFacts(Frozen):
    """What must agree before two numbers are compared, and how they print. ``timing``: they belong to one machine."""

    identity: Facts
    direction: Line
    decimals: Count
    unit: Line = ""
    timing: bool = False


class Recipe(Frozen):
    """See the module."""

    format: int = FORMAT
    row: Label
    command: str = Field(max_length=1 << 20)
    """What is typed; "" for videos that were made elsewhere, which no command makes."""
    note: str = ""
    request: Facts
    method: MethodSpec
    setting: Setting
    suite: SuiteFacts
    metrics: dict[Label, MetricFacts]
    versions: dict[Line, Line]
    machine: Facts
    plugins: dict[Line, Hex] = {}
    """Names of files to the SHA-256 of their bytes."""
    cells: dict[Label, Claim]

    def text(self) -> str:
        """As the file has it."""
        return toml(plain(self.model_dump(mode="json")))

    def asked(self, **more: Any) -> Request:
        """The request that makes the row again; nothing that it names is a path, unless the user gives one.

        Args:
            more: what the user says himself: plug-ins, and where his copies of suite and weights lie.

        Raises:
            SpecError: for a field that a recipe may not have, a value that cannot be, or a suite or backbone that the user
                has to give.
        """
        known = [o.name for o in options_of(Request) if o.name not in NOT_OURS]
        for name in self.request:
            one_of("[request]", name, known)
        for name, here in (("suite", registry.suites.names()), ("backbone", cards.known())):
            word = str(self.request.get(name, ""))
            if name not in more and word not in here and (name == "suite" or not _HUB.fullmatch(word)):
                said = f"The recipe's {name} '{shown(word)}' is none that this installation knows: "
                more_said = ", or the file that registers it with --plugin" if self.plugins else ""
                raise SpecError(f"{said}add --{name} with your copy of it, whose digest will be compared{more_said}.")
        return Request(**self.request | {"controls": False} | more)


def of(tidy: Tidy, row: str) -> Recipe:
    """The recipe of one row of a run.

    Args:
        row: its label.

    Raises:
        SpecError: for a label that the run has not.
    """
    one_of("--row", row, tidy.methods)
    config = tidy.stores[0].config()
    spec, made, cells = tidy.methods[row], artefacts_of(tidy, row), claims_of(tidy, row)
    words = _words(config, CONTROLS[0] if spec.imported else row, tuple(cells))
    metrics = {
        label: MetricFacts(
            identity=tidy.own_identities.get(label) or tidy.metrics[label].identity(), unit=tidy.metrics[label].unit,
            direction=tidy.metrics[label].direction, decimals=tidy.metrics[label].decimals, timing=tidy.metrics[label].timing,
        )
        for label in cells
    }  # fmt: skip
    found = Recipe(
        row=row, command=" ".join(["bench run", *words_of(Request, words)]) if not spec.imported else "",
        note=_note(config, spec), request=_request(config, words), method=spec, setting=tidy.setting.published(),
        suite=SuiteFacts(
            name=tidy.suite.name, digest=tidy.suite.digest(), cases={c.id: c.digest() for c in tidy.suite.cases}
        ),
        metrics=metrics, versions=versions_of(made), machine=machine_of(made), plugins=_plugins(tidy, spec, tuple(cells)),
        cells=cells,
    )  # fmt: skip
    return Recipe.model_validate(plain(found.model_dump(mode="json")))


def _words(config: RunConfig, row: str, metrics: tuple[str, ...]) -> dict[str, Any]:
    """What is typed for the row alone; of paths on this machine their last part."""
    how = config.asked or Asked(suite=config.suite.name, some=True)  # of before, which does not say whether all are in it
    how = how.model_copy(update={"suite": Path(how.suite).name, "root": None, "prompts": None, "command": "run", "words": ()})
    known = config.model_copy(update={"asked": how, "plugins": (), "metrics": metrics})
    return request_words(known, methods=(row,), controls=False, backbone=config.setting.called)


def _request(config: RunConfig, words: Mapping[str, Any]) -> dict[str, Any]:
    """The same as fields of ``Request``, without those that are as they are by default."""
    values = {**words, "protocol": config.setting.protocol, "repeats": config.repeats}
    kept = {o.name: values[o.name] for o in options_of(Request) if o.name in values and o.name not in NOT_OURS}
    default = {o.name: o.default for o in options_of(Request)}
    always = ("methods", "suite", "backbone", "seeds")
    return {k: v for k, v in kept.items() if v not in (None, "", ()) and (v != default[k] or k in always)}


def _note(config: RunConfig, spec: MethodSpec) -> str:
    """What the reader has to bring himself."""
    how = config.asked or Asked(suite=config.suite.name)
    if spec.imported:
        return "These videos were made elsewhere, and no command makes them."
    own = {
        "--suite, your copy of it": "/" in how.suite, "--root": how.root, "--prompts": how.prompts,
        "--backbone, your folder of its weights": Path(config.setting.backbone).is_absolute(),
    }  # fmt: skip
    said = [name for name, needed in own.items() if needed]
    return f"Add {' and '.join(said)}: the run had files of its own there." if said else ""


def _plugins(tidy: Tidy, spec: MethodSpec, metrics: tuple[str, ...]) -> dict[str, str]:
    """Files that register the method or a metric of the row; what is built in needs none."""
    suite = tidy.stores[0].config().asked or Asked(suite=tidy.suite.name)
    needed = {spec.method} - BUILTIN["methods"].keys() | {name_of(m) for m in metrics} - BUILTIN["metrics"].keys()
    needed |= {suite.suite} - BUILTIN["suites"].keys()
    return {Path(place).name: file.sha256 for place, file in tidy.traits.plugins.items() if needed & {*file.names}}


def read(file: Path) -> Recipe:
    """A recipe from anywhere; nothing of it is run.

    Raises:
        SpecError: when it cannot be read, or is no recipe.
    """
    try:
        with open(file, "rb") as opened:
            raw = opened.read(LARGEST + 1)
    except OSError as error:
        raise SpecError(
            f"{file}: the recipe cannot be read ({(error.strerror or 'unknown reason').lower()}). `bench recipe RUN --row ROW "
            "--out FILE` writes one."
        ) from None
    return parsed(file, raw)


def parsed(file: Path, raw: bytes) -> Recipe:
    """A recipe's text.

    Raises:
        SpecError: when it is none.
    """
    if len(raw) > LARGEST:
        raise SpecError(f"{file}: it has more than the {LARGEST >> 20} MiB of any recipe. `bench recipe` writes one.")
    try:
        table = parse_toml(raw)
    except ValueError as error:
        raise SpecError(f"{file}: not valid TOML ({public(str(error).splitlines()[0])}). `bench recipe` writes one.") from None
    if table.get("format") != FORMAT:
        raise SpecError(f"{file}: a recipe of format {shown(table.get('format'))}; this version reads {FORMAT}.")
    try:
        return Recipe.model_validate(table)
    except ValidationError as error:
        raise SpecError(f"{file}: {shown(first_problem(error), 300)}. `bench recipe` writes it anew.") from None
