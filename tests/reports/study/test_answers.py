"""The user study's answers: simulated raters are recovered, and every bad file has its sentence."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from support.study_runs import LABELS, answers, by_quality, read, write
from typer.testing import CliRunner

from fastvmt.cli.study import app
from fastvmt.errors import UserError
from fastvmt.reports.study import answers as study_answers
from fastvmt.reports.study import key as study_key
from fastvmt.reports.study import make as study
from fastvmt.reports.study import ranks as study_ranks
from fastvmt.store.folder import Store


def test_raters_of_one_mind_are_recovered(study_made: study.MadeStudy, tmp_path: Path) -> None:
    folder = write(tmp_path / "a", [answers(study_made.key, f"rater-{i}", by_quality) for i in range(12)])
    args = ["import", str(folder), "--key", str(study_made.key_file)]
    said = CliRunner().invoke(app, [*args, "--json", "--out", str(tmp_path / "ranks.csv")])
    assert said.exit_code == 0, said.output
    data = json.loads(said.stdout)
    assert data["answers"] == 48 and data["warnings"] == [] and data["expected_sum"] == 6
    for name in (*study_key.CRITERIA, "overall"):
        facts = data["criteria"][name]
        means = [facts["methods"][label]["mean_rank"] for label in LABELS]
        assert means == sorted(means) and means[0] < 1.6 and means[2] > 2.4
        assert facts["sum"] == pytest.approx(6, abs=1e-9)
        assert facts["kendall_w"] > 0.7 and facts["friedman_p"] < 1e-3 and 0 < facts["w_one_clip"] < facts["kendall_w"]
        assert all(m["low"] <= m["mean_rank"] <= m["high"] and m["n"] == 48 for m in facts["methods"].values())
    overall = data["criteria"]["overall"]["methods"]["ditflow"]["mean_rank"]
    parts = [data["criteria"][c]["methods"]["ditflow"]["mean_rank"] for c in study_key.CRITERIA]
    assert overall == pytest.approx(sum(parts) / 3)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "ranks.csv").read_text())))
    assert len(rows) == 12 * 4 * 3 * 3
    mine = [int(r["rank"]) for r in rows if r["method"] == "ditflow" and r["criterion"] == "motion"]
    assert np.mean(mine) == pytest.approx(parts[0])
    text = CliRunner().invoke(app, args).stdout
    lines = text.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == list(LABELS)
    assert "n = 12 raters, 48 of 48 answers" in text and "mean ranks sum to 6.000, k(k+1)/2 is 6: ok" in text


def test_w_is_kendalls() -> None:
    one, opposite = np.array([[1.0, 2, 3, 4]] * 5), np.array([[1.0, 2, 3], [3, 2, 1]])
    assert study_ranks.kendall(one) == (1.0, pytest.approx(stats.chi2.sf(15, 3)))
    assert study_ranks.kendall(opposite) == (0.0, 1.0)
    # Ranks 1 2.5 2.5 4 / 1 2 3 4 / 2 1 3.5 3.5: sums 4 5.5 9 11.5, S 34.5, ties 6 + 6; 12 S / (9 * 60 - 3 * 12) = 414 / 504.
    tied = np.array([[1, 2, 2, 3], [1, 2, 3, 4], [2, 1, 5, 5.0]])
    found = study_ranks.kendall(tied)
    assert found is not None and found[0] == pytest.approx(414 / 504)
    assert found[1] == pytest.approx(stats.friedmanchisquare(*tied.T).pvalue)
    assert study_ranks.kendall(one[:1]) is None and study_ranks.kendall(np.ones((3, 4))) is None


def test_one_rater_has_no_interval(study_made: study.MadeStudy, tmp_path: Path) -> None:
    folder = write(tmp_path / "a", [answers(study_made.key, "only", by_quality)])
    said = CliRunner().invoke(app, ["import", str(folder), "--key", str(study_made.key_file), "--json"])
    facts = json.loads(said.stdout)["criteria"]["motion"]
    assert facts["kendall_w"] is None and facts["methods"]["fastvmt"]["low"] is None
    result, found = read(study_made, folder)
    assert "[–]" in study_ranks.as_lines(result, found, study_made.key)


def changed(file: dict[str, Any], *path: Any, to: Any) -> dict[str, Any]:
    spot = file
    for step in path[:-1]:
        spot = spot[step]
    spot[path[-1]] = to
    return file


def bad_files(key: study_key.Key) -> dict[str, tuple[Any, str]]:
    def good() -> dict[str, Any]:
        return answers(key, "anna", by_quality)

    clips = good()["answers"][0]["order"]
    first = ("answers", 0)
    motion = (*first, "ranks", "motion")
    return {
        "no-json": ("{", "is not valid JSON"),
        "deep": ("[" * 200_000, "is not valid JSON"),
        "list": ([], "names no format"),
        "format": (changed(good(), "format", to="vmt-study-answers/2\x1b[31m"), "format 'vmt-study-answers/2\\?\\[31m', this version reads"),
        "study": (changed(good(), "study", to="0" * 64), "answers another study \\(000000000000…"),
        "rater": (changed(good(), "rater", to="../x"), "rater: String should match"),
        "extra": (good() | {"more": 1}, "more: Extra inputs are not permitted"),
        "seconds": (changed(good(), *first, "seconds", to=-1), "answers.0.seconds"),
        "question": (changed(good(), *first, "question", to="zz"), "question zz is not in this study"),
        "again": (changed(good(), "answers", 1, to=good()["answers"][0]), "is answered twice"),
        "order": (changed(good(), *first, "order", to=clips[:1] * 3), "its order is not that of its 3 clips"),
        "criterion": (changed(good(), *first, "ranks", "beauty", to={}), "'beauty' is no criterion"),
        "clip": (changed(good(), *motion, "f" * 16, to=1), "'ffffffffffffffff' is no clip of it"),
        "tie": (changed(good(), *motion, to=dict.fromkeys(clips, 1)), "motion: rank 1 is given twice; the ranks are 1 to 3"),
        "range": (changed(good(), *motion, to=dict(zip(clips, (1, 2, 4), strict=True))), "rank 4 cannot be"),
        "text": (changed(good(), *motion, to=dict(zip(clips, (1, 2, "3"), strict=True))), "Input should be a valid integer"),
        "bool": (changed(good(), *motion, to=dict(zip(clips, (True, 2, 3), strict=True))), "Input should be a valid integer"),
    }  # fmt: skip


def test_every_bad_file_has_its_sentence(study_made: study.MadeStudy, tmp_path: Path) -> None:
    """One by one, each names the file; together, all are told at once."""
    folder = tmp_path / "bad"
    folder.mkdir()
    for name, (content, sentence) in bad_files(study_made.key).items():
        path = folder / f"{name}.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        with pytest.raises(UserError, match=f"{name}.json: .*{sentence}") as caught:
            study_answers.collect([path], study_made.key, study_made.key_file)
        assert "\n" not in str(caught.value) and str(caught.value).isprintable() and len(str(caught.value)) < 400
    with pytest.raises(UserError) as caught:
        study_answers.collect([folder], study_made.key, study_made.key_file)
    assert len(str(caught.value).splitlines()) == len(bad_files(study_made.key))
    with pytest.raises(UserError, match="nowhere.json: cannot be read"):
        study_answers.collect([tmp_path / "nowhere.json"], study_made.key, study_made.key_file)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no answer files"):
        study_answers.collect([tmp_path / "empty"], study_made.key, study_made.key_file)


def test_keys_that_are_none_or_were_changed(study_made: study.MadeStudy, tmp_path: Path) -> None:
    path = tmp_path / "k.json"
    with pytest.raises(UserError, match="cannot be read"):
        study_key.read_key(path)
    path.write_text("{}")
    with pytest.raises(UserError, match="is no key of a study \\(study: Field required\\)"):
        study_key.read_key(path)
    text = study_made.key_file.read_text()
    path.write_text(text.replace('"ditflow"', '"swapped"', 1))
    with pytest.raises(UserError, match="was changed after it was made"):
        study_key.read_key(path)
    path.write_text(text.replace("vmt-study-key/1", "vmt-study-key/2"))
    with pytest.raises(UserError, match="format 'vmt-study-key/2'"):
        study_key.read_key(path)
    assert study_key.read_key(study_made.key_file) == study_made.key


def test_raters_to_look_at_are_named_and_left_out_on_request(study_made: study.MadeStudy, tmp_path: Path) -> None:
    fine = [answers(study_made.key, f"fine-{i}", by_quality) for i in range(3)]
    hasty = answers(study_made.key, "hasty", by_quality, seconds=1.0)
    partly = answers(study_made.key, "partly", by_quality)
    del partly["answers"][0]["ranks"]["text"]
    del partly["answers"][1]
    empty = answers(study_made.key, "empty", by_quality) | {"answers": []}
    constant = answers(study_made.key, "constant", by_quality)
    for answer in constant["answers"]:
        answer["ranks"] = {c: {t: i for i, t in enumerate(answer["order"], start=1)} for c in study_key.CRITERIA}
    folder = write(tmp_path / "a", [*fine, hasty, partly, constant, empty])
    (folder / "answers-fine-0 (1).json").write_text(json.dumps(fine[0]))
    other = answers(study_made.key, "fine-1", lambda c, _, __: c.random())
    (folder / "answers-fine-1 (1).json").write_text(json.dumps(other))
    result, found = read(study_made, folder)
    assert sorted((w.name, w.rater) for w in found.warnings) == [
        ("constant", "constant"), ("fast", "hasty"), ("incomplete", "empty"), ("incomplete", "partly"), ("same-rater", ""),
        ("same-rater", "fine-1"),
    ]  # fmt: skip
    assert sorted(found.raters) == ["constant", "fine-0", "fine-1", "fine-2", "hasty", "partly"]
    assert found.left_out == {"empty": ["incomplete"]} and found.answers() == 5 * 4 + 2
    assert all(j.sum == pytest.approx(6, abs=1e-9) for j in result.values())
    lines = study_ranks.as_lines(result, found, study_made.key)
    assert "22 of 24 answers" in lines and "left out: rater empty (incomplete)" in lines and "fewer than 10 raters" in lines
    _, strict = read(study_made, folder, strict=True)
    assert sorted(strict.raters) == ["fine-0", "fine-2"]
    said = CliRunner().invoke(app, ["import", str(folder), "--key", str(study_made.key_file)])
    assert (
        "warning: fast: rater hasty (" in said.stderr and "took less than one play and 3 s for 4 of 4 questions" in said.stderr
    )
    with pytest.raises(UserError, match=r"No rater is left \(hasty: fast\).*leave --strict out"):
        study_answers.collect([folder / "answers-hasty.json"], study_made.key, study_made.key_file, strict=True)


def test_codes_that_were_not_handed_out(study_run: Store, tmp_path: Path) -> None:
    coded = study.make(study_run.root, tmp_path / "q", study.StudyDesign(cases=2, raters=3))
    one = coded.key.raters[0]
    folder = write(tmp_path / "a", [answers(coded.key, rater, by_quality) for rater in (one, "guest")])
    _, found = read(coded, folder)
    assert {(w.name, w.rater) for w in found.warnings} == {("unknown-rater", "guest"), ("missing-rater", "")}
    assert all(code in str(found.warnings[-1]) for code in coded.key.raters[1:])
