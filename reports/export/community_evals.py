"""Community evals of the Hugging Face hub: what makes a data set a benchmark, and results for the page of a model.

    eval.yaml                              for the data set that --repo names: a task for each metric
    .eval_results/<suite>--<method>.yaml   for the repository of the backbone, or of a method's weights: a file for each method

Controls and metrics without a better direction are left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fastvmt.core.content_address import digest
from fastvmt.core.disk.atomic import write_atomic
from fastvmt.reports.export.push import address
from fastvmt.reports.export.rows import Row, judged_rows
from fastvmt.reports.tables.grid import clean
from fastvmt.reports.tables.view import Cell, Column, id_of
from fastvmt.reports.tidy import Tidy

FRAMEWORK, CONFIG, SPLIT = "fastvmt-bench", "numbers", "train"
"""Where the numbers are in the data set that ``--to hub`` writes."""


def write(tidy: Tidy, out: Path, repo: str) -> list[Path]:
    """Write both.

    Args:
        repo: OWNER/NAME of the data set whose leaderboard the numbers belong to.

    Raises:
        SpecError: when no method has a number.
    """
    from huggingface_hub import eval_result_entries_to_yaml
    from huggingface_hub.utils import yaml_dump

    rows = judged_rows(tidy, controls=False)
    tasks = _ids(column.key for row in rows for column, _ in row.judged())
    names = _ids(row.label for row in rows)
    facts = {
        "name": f"Motion transfer on {clean(tidy.suite.name)}",
        "description": f"Video motion transfer, {clean(tidy.title)}. Suite digest {tidy.suite_digest}.",
        "evaluation_framework": FRAMEWORK,
        "tasks": [{"id": task, "config": CONFIG, "split": SPLIT} for task in tasks.values()],
    }
    found = [out / "eval.yaml"]
    write_atomic(found[0], yaml_dump(facts))
    (out / ".eval_results").mkdir()
    for row in rows:
        path = out / ".eval_results" / f"{id_of(tidy.suite.name)}--{names[row.label]}.yaml"
        write_atomic(path, yaml_dump(eval_result_entries_to_yaml([_entry(tidy, row, of, tasks, repo) for of in row.judged()])))
        found.append(path)
    return found


def _ids(labels: Iterable[str]) -> dict[str, str]:
    """An id for each label; labels that differ in signs alone are told apart."""
    found: dict[str, str] = {}
    for label in dict.fromkeys(labels):
        found[label] = f"{id_of(label)}-{digest(label)[:8]}" if id_of(label) in found.values() else id_of(label)
    return found


def _entry(tidy: Tidy, row: Row, of: tuple[Column, Cell], tasks: dict[str, str], repo: str) -> object:
    from huggingface_hub import EvalResultEntry

    column, cell = of
    ends = "" if cell.low is None else f", 95 % interval {cell.low:.{column.decimals}f} to {cell.high:.{column.decimals}f}"
    others = ", videos of others, their settings claimed" if row.spec.imported else ""
    return EvalResultEntry(
        dataset_id=repo, task_id=tasks[column.key], value=cell.value,
        source_url=address(repo), source_name=FRAMEWORK,
        notes=f"{row.head} ({clean(row.label)}): {clean(tidy.title)}; {cell.n} videos{ends}{others}; table {tidy.digest}",
    )  # fmt: skip
