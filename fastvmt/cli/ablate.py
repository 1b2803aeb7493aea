"""``bench ablate`` and ``paper``: runs whose methods are chosen for a question, with their report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from fastvmt.cli.options import OWN, Asked, load_plugins, takes
from fastvmt.cli.report import Against, say
from fastvmt.cli.run import finish
from fastvmt.errors import SpecError
from fastvmt.runner.settings import split

Factors = Annotated[str, typer.Option(help="Comma-separated factors; all the method declares when empty.")]
Pairs = Annotated[str, typer.Option(help="Pairs of factors, e.g. window+reuse,window+loss.")]
With = Annotated[str, typer.Option("--with", help="Methods to run beside it, or all.")]
Ladder = Annotated[bool, typer.Option(help="Also run the forms from which the speed-up is decomposed.")]
SHOWN = ("comparison", "ablation", "savings")
"""Tables that an ablation prints; the rest is in its report."""


@takes(*OWN)
def ablate(
    asked: Asked, method: Annotated[str, typer.Argument(help="Method label, e.g. fastvmt.")], factors: Factors = "",
    pairs: Pairs = "", beside: With = "", ladder: Ladder = True, against: Against = "",
) -> None:  # fmt: skip
    """Run a method, then each of its factors changed alone; write the ablation tables and figures into RUN/report."""
    _ablate(asked, method, split(factors), split(pairs), split(beside), ladder, against)


@takes(*OWN)
def paper(asked: Asked, against: Against = "paper") -> None:
    """Run what the paper's tables and figures need (all methods, FastVMT's ablations), and write them beside the paper's."""
    _ablate(asked, "fastvmt", (), (), ("all",), True, against)


def _ablate(
    asked: Asked, method: str, factors: tuple[str, ...], pairs: tuple[str, ...], beside: tuple[str, ...],
    ladder: bool, against: str,
) -> None:  # fmt: skip
    from fastvmt import api
    from fastvmt.runner import ablate as ablations

    load_plugins(asked.words["plugins"])
    wanted = ablations.expand(method, factors, pairs, ladder)
    labels = tuple(dict.fromkeys([*beside, *wanted.labels]))
    if ":" in method and any(":" not in label and label == method for label in beside):
        raise SpecError(f"--with {method}: it is the base of the ablation already; leave it out.")
    request = asked.request(methods=labels, optional=wanted.optional, ablates_presets=wanted.presets)

    def after(folder: Path) -> None:
        if api.probe(folder) is None:
            say("the probe of the backbone's blocks is left out: its weights or its device are not on this machine.")
        for path in api.report([folder], None, against=against, page=False, say=say):
            print(path, file=sys.stderr if asked.as_json else sys.stdout)

    found = api.run(request, asked.out, asked.options())
    finish(found, asked.as_json, after=after, text=lambda: api.print_tables([found.folder], SHOWN, form="md"))
