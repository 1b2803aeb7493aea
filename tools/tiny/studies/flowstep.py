"""The measured parts of FlowStep's report, made anew: ``python -m tools.tiny.studies.flowstep --trials FOLDER``.

Runs what the tables of docs/results/flowstep.md need and is not in FOLDER yet (some hours on two cores; the same command
goes on), and writes them between the page's marks. ``--only wan`` takes the parts that need no video.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable
from pathlib import Path

from fastvmt.backbones import card as cards
from fastvmt.backbones.noise_levels import sigma_grid
from fastvmt.plugins import labels as specs
from fastvmt.plugins import registry

from .claims import FIRST, PAIRS, claims, keys, make, means, read

PAGE = Path(__file__).parents[3] / "docs" / "results" / "flowstep.md"
LIGHT, FULL = "flowstep", "flowstep:full"
ROWS = (LIGHT, FULL, "fastvmt", "ditflow", "none")
ABLATED = (
    LIGHT, "flowstep:apart", "flowstep:any-spread", "flowstep:forward", "flowstep:all-tokens", "flowstep:moving=0.12",
    "flowstep:moving=0.5", "flowstep:no-window", "flowstep:heads=mean_qk", "flowstep:inner=2", "flowstep:span=5",
)  # fmt: skip
AT_FIFTY = {"single_object": 16, "multiple_objects": 4, "complex": 4, "camera": 4}
FEWER = {"single_object": 8, "multiple_objects": 3, "complex": 3, "camera": 3}


class Parts:
    """The tables by name, from the results in a folder."""

    def __init__(self, folder: Path, workers: int) -> None:
        self.folder, self.workers = folder, workers

    def compared(self, rows: tuple[str, ...], ours: int, steps: int, pairs: dict[str, int], seeds: int) -> str:
        path = self.folder / f"trials-{steps}.jsonl"
        trials, wanted = read(path), keys(rows, steps, pairs, FIRST, seeds)
        make(wanted, trials, "tiny", "heldout", path, self.workers)
        there = {key: trials[key] for key in wanted}
        said = f"{sum(pairs.values())} held-back pairs, {seeds} seed{'s' if seeds > 1 else ''}, {steps} steps"
        tables = "\n".join(means(there, rows, steps)), "\n".join(claims(there, rows[:ours], rows[ours:], steps))
        return f"{said}\n\n{tables[0]}\n\n{tables[1]}"

    def ten(self) -> str:
        return self.compared(ROWS, 2, 10, PAIRS, 1)

    def fifty(self) -> str:
        return self.compared(ROWS[:4], 2, 50, AT_FIFTY, 1)

    def ablation(self) -> str:
        return self.compared(ABLATED, 1, 10, FEWER, 1)

    def wan(self) -> str:
        """Work at 81 frames, width 832, height 480, 50 steps, by formula."""
        lines = ["| backbone | row | guided steps | block of | forward-equivalents | of it guidance |", "|---" * 6 + "|"]
        for name in ("wan2.1-1.3b", "wan2.1-14b"):
            card = cards.load(name)
            shape = card.shape(832, 480, 81, sigma_grid(50, card.defaults["shift"]))
            for label in (LIGHT, FULL, "fastvmt", "ditflow"):
                spec = specs.resolve(label, shape, card.methods)
                cls = registry.methods.get(spec.method)
                params = cls.Params.model_validate(spec.params)
                cost, sampling = cls.cost(params, shape), cls.sampling_cost(params, shape)
                guided, where = len(cls.guided_steps(params, shape)), f"{params.block + 1} of {shape.blocks}"
                lines.append(f"| {name} | {label} | {guided} | {where} | {cost:.1f} | {cost - sampling:.1f} |")
        return "\n".join(lines)


def written(page: str, name: str, text: str) -> str:
    """The page with a part made anew.

    Raises:
        ValueError: for a page without its marks.
    """
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not pattern.search(page):
        raise ValueError(f"the page has no <!-- {name} --> ... <!-- /{name} -->")
    return pattern.sub(lambda found: f"{found[1]}\n{text}\n\n{found[2]}", page)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=Path, default=Path("flowstep"), help="folder of results")
    parser.add_argument("--only", help="some of ten,fifty,ablation,wan")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    args.trials.mkdir(parents=True, exist_ok=True)
    parts = Parts(args.trials, args.workers)
    every: dict[str, Callable[[], str]] = {n: getattr(parts, n) for n in ("ten", "ablation", "fifty", "wan")}
    for name in (args.only or ",".join(every)).split(","):
        made = every[name]()
        PAGE.write_text(written(PAGE.read_text("utf-8"), name, made), "utf-8")
        print(f"{name}\n\n{made}\n")


if __name__ == "__main__":
    main()
