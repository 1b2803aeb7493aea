"""What the tests of the user study share: a run of three methods, and the answer files of simulated raters."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fastvmt.reports.study import answers as study_answers
from fastvmt.reports.study import key as study_key
from fastvmt.reports.study import make as study
from fastvmt.reports.study import ranks as study_ranks
from fastvmt.store.folder import Store
from support.runs import make_cases, make_run

LABELS = ("fastvmt", "ditflow", "moft:inner=3")
HOSTILE = (
    "</script><img src=x onerror=window.hit=1>",
    "<!--<script>window.hit=1//\u2028window.hit=1\u2029\u202e",
    "'\"><svg onload=window.hit=1> &lt;b&gt; {{ 7*7 }} ${hit=1} \\u003c",
    "javascript:window.hit=1",
)


def run_folder(
    root: Path, prompts: Sequence[str] = tuple(f"a thing number {i}" for i in range(6)), labels: tuple[str, ...] = LABELS,
    missing: tuple[tuple[str, str], ...] = (), frames: tuple[int, int, int] = (5, 24, 32), seeds: tuple[int, ...] = (0,),
) -> Store:  # fmt: skip
    """Videos of every label for every prompt, but for (case, label) in ``missing``. ``frames``: time, height, width."""
    cases = [c.model_copy(update={"prompt": p}) for c, p in zip(make_cases(len(prompts), frames=frames), prompts, strict=True)]
    gone = [(case, label, seed) for case, label in missing for seed in seeds]
    return Store.open(make_run(root, cases, labels, seeds, frames, ("time",), missing=gone, suite="hand-made"))


Taste = Callable[[random.Random, str, str], float]


def answers(key: study_key.Key, rater: str, taste: Taste, seconds: float = 60.0) -> dict[str, Any]:
    """A file as the page writes it, of a rater who ranks by ``taste(chance, criterion, method)``, least first."""
    chance = random.Random(rater)
    found = []
    for token, question in key.questions.items():
        ranks = {}
        for criterion in study_key.CRITERIA:
            liked = sorted(question.clips, key=lambda t: taste(chance, criterion, question.clips[t].method))
            ranks[criterion] = {t: i for i, t in enumerate(liked, start=1)}
        order = chance.sample(list(question.clips), len(question.clips))
        found.append({"question": token, "order": order, "seconds": seconds, "ranks": ranks})
    return {"format": study_key.ANSWERS_FORMAT, "study": key.study, "rater": rater, "answers": found}


def by_quality(chance: random.Random, criterion: str, method: str) -> float:
    return LABELS.index(method) + chance.gauss(0, 0.8)


def write(folder: Path, files: list[dict[str, Any]]) -> Path:
    folder.mkdir(exist_ok=True)
    for file in files:
        (folder / f"answers-{file['rater']}.json").write_text(json.dumps(file))
    return folder


def read(
    made: study.MadeStudy, folder: Path, strict: bool = False
) -> tuple[dict[str, study_ranks.Judged], study_answers.Collected]:
    found = study_answers.collect([folder], made.key, made.key_file, strict)
    return study_ranks.results(found, made.key), found
