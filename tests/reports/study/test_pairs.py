"""Pairs as in an arena: simulated raters of known strengths are recovered, careless ones are left out, metrics are held against."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import stats
from support.cli import bench
from support.runs import make_run
from support.study_runs import LABELS, write

from fastvmt.model import Case
from fastvmt.reports.study import answers as study_answers
from fastvmt.reports.study import arena
from fastvmt.reports.study import key as study_key
from fastvmt.reports.study import make as study
from fastvmt.reports.study.pairs import MOVING, STILL
from fastvmt.store.folder import Store

STRENGTH = dict(zip(LABELS, (1.0, 0.0, -1.0), strict=True))


@pytest.fixture(scope="module")
def made(study_run: Store, tmp_path_factory: pytest.TempPathFactory) -> study.MadeStudy:
    return study.make(study_run.root, tmp_path_factory.mktemp("pairs") / "page", study.StudyDesign(pairs=12))


def rater(key: study_key.Key, name: str, ties: float = 0.1, careful: bool = True) -> dict[str, Any]:
    """An answer file of one who prefers by ``STRENGTH``; a careless one never sees what moves."""
    chance, found = random.Random(name), []
    for token, question in key.questions.items():
        a, b = question.clips
        ranks = {}
        for criterion in study_key.CRITERIA:
            if question.check:
                first = question.check if careful else next(t for t in question.clips if t != question.check)
            else:
                gap = STRENGTH[question.clips[b].method] - STRENGTH[question.clips[a].method]
                first = a if chance.random() < 1 / (1 + math.exp(gap)) else b
            tie = not question.check and chance.random() < ties
            ranks[criterion] = {t: 1 if tie or t == first else 2 for t in (a, b)}
        order = chance.sample([a, b], 2)
        found.append({"question": token, "order": order, "seconds": 60.0, "ranks": ranks})
    return {"format": study_key.ANSWERS_FORMAT, "study": key.study, "rater": name, "answers": found}


def test_pairs_are_balanced_and_checks_have_a_known_answer(study_run: Store, made: study.MadeStudy) -> None:
    questions = made.key.questions.values()
    pairs = Counter(frozenset(c.method for c in q.clips.values()) for q in questions if not q.check)
    cases = Counter(q.case for q in questions if not q.check)
    assert set(pairs) == {frozenset(two) for two in combinations(LABELS, 2)} and set(pairs.values()) == {4}
    assert len(cases) == 6 and max(cases.values()) <= 3
    checks = [q for q in questions if q.check]
    assert len(checks) == 4 and all({c.method for c in q.clips.values()} == {MOVING, STILL} for q in checks)
    for q in checks:
        moving, still = (
            np.asarray(Image.open(made.folder / f"{next(t for t, c in q.clips.items() if c.method == m)}.webp"))
            for m in (MOVING, STILL)
        )
        reference = np.asarray(Image.open(made.folder / f"{q.reference}.webp"))
        assert (moving == reference).all() and (still != reference).any()
    assert study_key.read_key(made.key_file).pairs


def test_raters_of_known_strengths_are_recovered(made: study.MadeStudy, tmp_path: Path) -> None:
    folder = write(tmp_path / "a", [rater(made.key, f"rater-{n}") for n in range(40)])
    found = bench("study", "import", folder, "--key", made.key_file, "--json", "--out", tmp_path / "all.csv").data
    for name in (*study_key.CRITERIA, arena.OVERALL):
        by_method = found["strengths"][name]
        for label, wanted in STRENGTH.items():
            one = by_method[label]
            # ties are half a win, which draws strengths together by their share of the answers
            assert one["low"] < 0.88 * wanted < one["high"] and one["low"] < one["strength"] < one["high"]
            assert one["high"] - one["low"] < (0.6 if name == arena.OVERALL else 1.2)
            assert one["pairs"] == 8 * 40 * (3 if name == arena.OVERALL else 1)
    said = bench("study", "import", folder, "--key", made.key_file).out
    assert [line.split()[0] for line in said.splitlines()[1:4]] == list(LABELS) and "a tie is half a win" in said


def test_strengths_are_the_most_likely_ones_and_always_finite() -> None:
    two = np.array([[0, 30.0], [10, 0]])
    a, b = arena.bradley_terry(two, prior=1e-9)
    assert a - b == pytest.approx(math.log(3), abs=1e-6)
    always = np.array([[0, 9.0, 0], [0, 0, 0], [0, 0, 0]])
    best, worst, never = arena.bradley_terry(always)
    assert best == pytest.approx(-worst) and 1 < best < 4 and never == 0
    many = np.stack([np.pad(two, (0, 1)), always])
    assert arena.bradley_terry(many)[1] == pytest.approx([best, worst, never])
    far = arena.bradley_terry(np.array([[0, 1e6], [0, 0.0]]))
    assert np.isfinite(far).all() and far[0] > 3


def test_tau_is_scipys() -> None:
    chance = np.random.default_rng(0)
    for _ in range(20):
        a, b = chance.integers(0, 5, (2, 6)).astype(float)
        assert arena.kendall_tau(a, b) == pytest.approx(stats.kendalltau(a, b).statistic)


def test_who_fails_the_checks_is_reported_and_left_out(made: study.MadeStudy, tmp_path: Path) -> None:
    good = [rater(made.key, f"rater-{n}") for n in range(6)]
    once = rater(made.key, "once")  # one wrong of four is a slip
    check = next(a for a in once["answers"] if made.key.questions[a["question"]].check)
    check["ranks"]["motion"] = dict.fromkeys(check["ranks"]["motion"], 1)
    folder = write(tmp_path / "a", [*good, once, rater(made.key, "asleep", careful=False)])
    said = bench("study", "import", folder, "--key", made.key_file)
    assert said.code == 0 and "left out: rater asleep (checks)" in said.out and "n = 7 raters" in said.out
    assert "answers-asleep.json) chose wrongly in 4 of 4 pairs with a known answer; left out." in said.err
    alone = write(tmp_path / "b", [rater(made.key, "asleep", careful=False)])
    said = bench("study", "import", alone, "--key", made.key_file)
    assert said.code == 2 and "No rater is left (asleep: checks)" in said.err


def test_a_metric_that_people_disagree_with_is_named(tmp_path: Path) -> None:
    metrics = ("motion_fidelity", "camera_agreement", "time")

    def value(metric: str, case: Case, label: str, seed: int) -> float:
        level = STRENGTH[label] * (-1 if metric == "camera_agreement" else 1)
        return 0.5 + 0.1 * level + 0.01 * random.Random(f"{metric}{case.id}{label}").random()

    run = make_run(tmp_path / "r", 6, LABELS, (0,), (5, 24, 32), metrics, values=value, suite="hand-made")
    made = study.make(run, tmp_path / "q" / "page", study.StudyDesign(pairs=12))
    folder = write(tmp_path / "a", [rater(made.key, f"rater-{n}") for n in range(30)])
    args = ["study", "import", folder, "--key", made.key_file, "--against", run]
    found = bench(*args, "--json").data
    assert set(found["kendall"]) == set(metrics[:2])
    agrees, not_so = (found["kendall"][m][arena.OVERALL] for m in metrics[:2])
    assert agrees["tau"] == 1 and agrees["low"] > 0 and not_so["tau"] == -1 and not_so["high"] < 0
    said = bench(*args).out
    sentences = [line for line in said.splitlines() if line.startswith("People disagree with ")]
    assert sentences == found["disagree"] and len(sentences) == 1 and "camera_agreement: it orders" in sentences[0]
    other = make_run(tmp_path / "o", 3, LABELS, (0,), (5, 24, 32), metrics, values=value, videos=False, suite="another")
    refused = bench(*args[:-1], other)
    assert refused.code == 4 and "people saw another one (hand-made)" in refused.err


def test_ranks_are_not_held_against_metrics(study_made: study.MadeStudy, study_run: Store, tmp_path: Path) -> None:
    from support.study_runs import answers, by_quality

    folder = write(tmp_path / "a", [answers(study_made.key, "one", by_quality)])
    said = bench("study", "import", folder, "--key", study_made.key_file, "--against", study_run.root)
    assert said.code == 2 and "--pairs" in said.err


def test_ties_stand_in_pairs_alone(made: study.MadeStudy, study_made: study.MadeStudy, tmp_path: Path) -> None:
    file = rater(made.key, "one")
    file["answers"][0]["ranks"]["text"] = dict.fromkeys(file["answers"][0]["ranks"]["text"], 3)
    write(tmp_path / "a", [file])
    with pytest.raises(study_answers.UserError, match="text: rank 3"):
        study_answers.collect([tmp_path / "a"], made.key, made.key_file)


def test_fewer_pairs_than_wished_for_are_said(study_run: Store, tmp_path: Path) -> None:
    said = bench(
        "study", "make", study_run.root, "--out", tmp_path / "q" / "page", "--pairs", "99", "--methods", "fastvmt,ditflow"
    )
    assert "10 questions" in said.out and "4 of them are checks" in said.out and "fewer than the 99 pairs" in said.out
    key = json.loads((tmp_path / "q" / "study-key.json").read_text())
    assert len({(q["case"], q["check"] is None) for q in key["questions"].values()}) == 10
