"""What others' tools read of an export: records, results, paper rows and a suite, each as its owner's own code takes it."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from support.cli import bench
from support.clips import make, noise
from support.hub import local_hub
from support.runs import make_run

import fastvmt
from fastvmt.reports.tables.view import Cell


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(
        tmp_path / "run",
        4,
        methods=("none", "fastvmt", "ditflow"),
        failed={("case-0001", "ditflow", 0): "it broke"},
        videos=False,
    )


def cell(run: Path, label: str, metric: str) -> Cell:
    return fastvmt.table(run).view.cell(label, metric)


# --- runs -------------------------------------------------------------------------------------------------------------


def records_of(out: Path) -> dict[str, Any]:
    found = [json.loads(p.read_text()) for p in out.glob("data/fake/fastvmt-bench/*/*.json")]
    return {record["model_info"]["additional_details"]["method"]: record for record in found}


def test_a_record_says_direction_bounds_interval_and_what_is_missing(tmp_path: Path, run: Path) -> None:
    paths = fastvmt.export(run, "every-eval-ever", tmp_path / "a")
    record = records_of(tmp_path / "a")["ditflow"]
    results = {r["evaluation_result_id"]: r for r in record["evaluation_results"]}
    said = cell(run, "ditflow", "motion_fidelity")
    score, config = results["motion_fidelity"]["score_details"], results["motion_fidelity"]["metric_config"]
    ends = score["uncertainty"]["confidence_interval"]
    assert (score["score"], ends["lower"], ends["upper"]) == (said.value, said.low, said.high)
    assert score["details"] == {"videos": "3", "videos that should be there": "4"}
    assert not config["lower_is_better"] and (config["min_score"], config["max_score"]) == (-1.0, 1.0)
    assert results["time"]["metric_config"]["lower_is_better"] and results["time"]["metric_config"]["max_score"] == "Infinity"
    again = fastvmt.export(run, "every-eval-ever", tmp_path / "b")
    assert [p.name for p in again] == [p.name for p in paths]  # so that a store has each once


@pytest.mark.slow
def test_records_are_valid_for_the_package_that_owns_the_format(tmp_path: Path, run: Path) -> None:
    """The package asks for Python 3.12; its validator is plain Python, and what it needs of other packages is here."""
    fastvmt.export(run, "every-eval-ever", tmp_path / "out")
    install = ["uv", "pip", "install", "--quiet", "--no-deps", "--python-version", "3.12", "--target", str(tmp_path / "site")]
    subprocess.run([*install, "every-eval-ever==0.3.0"], check=True)

    def validated() -> subprocess.CompletedProcess[str]:
        files = [str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.json")]
        words = [sys.executable, "-m", "every_eval_ever.validate", *files]
        env = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
        return subprocess.run(words, cwd=tmp_path / "out", env=env, capture_output=True, text=True)

    done = validated()
    assert done.returncode == 0 and "3 passed, 0 warning-only, 0 failed" in done.stdout, done.stdout + done.stderr
    path = next((tmp_path / "out").rglob("*.json"))
    path.write_text(path.read_text().replace("lower_is_better", "direction"))
    assert validated().returncode == 1


def test_community_results_are_read_by_the_hubs_own_library(tmp_path: Path, run: Path) -> None:
    from huggingface_hub import parse_eval_result_entries

    said = bench("export", run, "--to", "hub-evals", "--repo", "me/bench", "--out", tmp_path / "out")
    assert said.code == 0 and "hf upload MODEL" in said.err
    tasks = yaml.safe_load((tmp_path / "out" / "eval.yaml").read_text())["tasks"]
    files = sorted((tmp_path / "out" / ".eval_results").iterdir())
    assert [f.name for f in files] == ["fake--ditflow.yaml", "fake--fastvmt.yaml"]  # a control is nobody's result
    entries = parse_eval_result_entries(yaml.safe_load(files[1].read_text()))
    assert {e.task_id for e in entries} == {t["id"] for t in tasks} and {e.dataset_id for e in entries} == {"me/bench"}
    (found,) = [e for e in entries if e.task_id == "motion-fidelity"]
    assert found.value == cell(run, "fastvmt", "motion_fidelity").value
    assert "3 videos, 95 % interval" in str(found.notes) and fastvmt.table(run).digest in str(found.notes)


def test_paper_rows_name_paper_metric_and_direction(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", 3, ("none", "fastvmt", "ditflow"), suite="=SUM(A1)", videos=False)
    (path,) = fastvmt.export(run, "papers", tmp_path / "out")
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert {r["label"] for r in rows} == {"fastvmt", "ditflow"} and {r["arxiv"] for r in rows} == {"2602.05551", "2412.07776"}
    (seconds,) = [r for r in rows if r["label"] == "ditflow" and r["metric"] == "Time"]
    assert float(seconds["value"]) == cell(run, "ditflow", "time").value
    assert (seconds["higher_is_better"], seconds["unit"], seconds["videos"]) == ("false", "s", "3")
    assert {r["dataset"] for r in rows} == {"'=SUM(A1)"}  # a word for spreadsheets, too


@pytest.mark.parametrize("form", ["every-eval-ever", "hub-evals", "papers"])
def test_an_export_of_nothing_is_none(tmp_path: Path, form: str) -> None:
    jobs = [(f"case-000{n}", label, 0) for n in range(2) for label in ("none", "fastvmt")]
    made = {"none"} if form != "every-eval-ever" else set()  # a control alone is nobody's result
    run = make_run(tmp_path / "run", 2, ("none", "fastvmt"), missing=[job for job in jobs if job[1] not in made])
    more = ("--repo", "me/bench") if form == "hub-evals" else ()
    said = bench("export", run, "--to", form, *more, "--out", tmp_path / "out")
    assert said.code == 2 and "nothing to export" in said.err and not (tmp_path / "out").exists()


# --- a suite ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """Two clips, one of them a folder of pictures, and something that is nobody else's business."""
    folder = tmp_path / "my clips"
    (folder / "frames").mkdir(parents=True)
    make(folder / "a dog.mp4", noise(9))
    for t in range(9):
        Image.new("RGB", (64, 48), (20 * t, 9, 0)).save(folder / "frames" / f"{t:03}.png")
    (folder / "prompts.txt").write_text("a dog: a dog runs\na dog: =a dog, on ice\nframes: a fire\n")
    (folder / "token").write_text("secret")
    assert bench("suite", "make", folder, "--title", "two clips", "--licence", "CC-BY-4.0").code == 0
    return folder


def test_an_exported_suite_holds_what_it_names_and_is_a_suite_again(tmp_path: Path, suite: Path) -> None:
    said = bench("export", suite, "--to", "croissant", "--repo", "me/clips", "--out", tmp_path / "out")
    assert said.code == 0, said.err
    facts = json.loads((tmp_path / "out" / "croissant.json").read_text())
    there = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    named = {f["contentUrl"] for f in facts["distribution"]}
    assert there == named | {"croissant.json"} and "frames/003.png" in named and "token" not in named
    assert (facts["license"], facts["url"]) == ("CC-BY-4.0", "https://huggingface.co/datasets/me/clips")
    assert bench("suite", "check", tmp_path / "out", "--fast").code == 0


@pytest.mark.slow
def test_an_exported_suite_is_valid_and_read_by_croissants_own_package(tmp_path: Path, suite: Path) -> None:
    fastvmt.export(suite, "croissant", tmp_path / "out")
    subprocess.run(["uv", "venv", "--quiet", "--python", sys.executable, str(tmp_path / "venv")], check=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    subprocess.run(["uv", "pip", "install", "--quiet", "--python", python, "mlcroissant==1.1.1"], check=True)
    code = (
        "import json, mlcroissant as mlc\n"
        "data = mlc.Dataset('croissant.json')\n"
        "print(json.dumps({n: [[str(v) for v in r.values()] for r in data.records(n)] for n in ('clips', 'prompts')}))\n"
    )
    done = subprocess.run([python, "-c", code], cwd=tmp_path / "out", capture_output=True, text=True)
    assert done.returncode == 0 and "error" not in done.stderr.lower(), done.stderr[-2000:]
    read = json.loads(done.stdout)
    assert len(read["clips"]) == 2 and "=a dog, on ice" in str(read["prompts"]) and len(read["prompts"]) == 3
    (tmp_path / "out" / "clips.jsonl").write_text("{}\n")  # of another digest
    assert subprocess.run([python, "-c", code], cwd=tmp_path / "out", capture_output=True).returncode != 0


def test_a_suite_that_is_none_or_changed_is_refused_and_nothing_stays(tmp_path: Path, suite: Path, run: Path) -> None:
    shutil.copy(suite / "frames" / "000.png", suite / "frames" / "001.png")
    for given, words in (([suite], "changed"), ([run], "not a suite folder"), ([suite, run], "takes one suite's folder; 2")):
        said = bench("export", *given, "--to", "croissant", "--out", tmp_path / "out")
        assert said.code == 2 and words in said.err and not (tmp_path / "out").exists(), said.err


# --- the hub ----------------------------------------------------------------------------------------------------------


def test_a_push_makes_a_private_data_set_with_all_that_was_exported(
    tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    with local_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        said = bench("export", run, "--to", "hub", "--repo", "me/bench", "--push", "--out", tmp_path / "out")
        assert said.code == 0 and f"pushed to {hub.url}/datasets/me/bench\n" in said.err, said.err
        there = {
            p.relative_to(tmp_path / "out").as_posix(): p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()
        }
        assert b'load_dataset("me/bench", "numbers")' in there["README.md"]
        assert hub.private == {"me/bench": True} and hub.files == there and "data/numbers.parquet" in there
        # The same repository again, as a benchmark: results belong to a model's page and stay here.
        hub.files.clear()
        fastvmt.export(run, "hub-evals", tmp_path / "evals", repo="me/bench", push=True)
        assert list(hub.files) == ["eval.yaml"]


@pytest.mark.parametrize("refuses", ["/create", "/commit/main", ""])
def test_a_hub_that_refuses_or_is_not_there_leaves_the_export_and_says_how_to_go_on(
    tmp_path: Path, refuses: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(
        tmp_path / "run", 4, ("none", "fastvmt", "ditflow"), seeds=(0, 1)
    )  # so many files that the hub's library splits
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    with local_hub(refuses) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url if refuses else "http://127.0.0.1:9")
        said = bench("export", run, "--to", "hub", "--repo", "me/bench", "--push", "--out", tmp_path / "out")
    assert said.code == 2 and said.err.startswith("bench: --push: me/bench was not written (") and said.err.count("\n") == 1
    assert (
        f"hf upload me/bench {tmp_path / 'out'} --repo-type dataset" in said.err and (tmp_path / "out" / "README.md").is_file()
    )
    assert "hf_right" not in said.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--to", "hub", "--repo", "me/bench", "--push"), "--push needs a token of the hub that may write; type `hf auth login`"),
        (("--to", "hub", "--push"), "--push needs --repo OWNER/NAME"),
        (("--to", "hub-evals"), "--to hub-evals needs --repo OWNER/NAME"),
        (("--to", "hub", "--repo", "a/b/../c"), "--repo a/b/../c: a data set on the hub is named OWNER/NAME"),
        (("--to", "hub", "--repo", "bench"), "--repo bench: a data set on the hub is named OWNER/NAME"),
        (("--to", "papers", "--repo", "me/bench", "--push"), "papers has no place on the hub"),
    ],
)  # fmt: skip
def test_what_cannot_be_pushed_is_one_sentence_before_anything_is_written(
    tmp_path: Path, words: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    done = bench("export", tmp_path / "never read", *words, "--out", tmp_path / "out")
    assert done.code == 2 and said in done.err and done.err.count("\n") == 1 and not (tmp_path / "out").exists()
