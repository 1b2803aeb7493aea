"""`bench export`: what another tool reads back is what the run says, and nothing that is there is written over."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support.cli import bench
from support.runs import make_cases, make_run

import fastvmt
from fastvmt.errors import SpecError

FAKE = """
import json, os
from contextlib import contextmanager
SEEN = []
def note(*what):
    SEEN.append(what)
    with open(os.environ["SEEN_FILE"], "a") as file:
        file.write(json.dumps(what) + "\\n")
"""
MODULES = {
    "wandb": """
class Run:
    def log(self, numbers): note("log", numbers)
    def finish(self): note("finish")
def init(project, name, config, dir, mode):
    assert mode == "offline" and os.environ["WANDB_MODE"] == "offline"
    note("init", project, name, config)
    open(os.path.join(dir, "offline-run"), "a").close()
    return Run()
""",
    "mlflow": """
STORE = []
def set_tracking_uri(uri):
    assert uri.startswith("file://") and os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    STORE.append(uri.removeprefix("file://"))
def set_experiment(name): pass
@contextmanager
def start_run(run_name):
    note("init", "", run_name, {})
    yield
    note("finish")
def log_params(params): note("params", params)
def log_metrics(numbers):
    leaves = set(numbers)
    assert not any(name.rpartition("/")[0] in leaves for name in leaves), "a file and a folder of one name"
    note("log", numbers)
def log_text(text, name):
    with open(os.path.join(STORE[0], name), "w") as file:
        file.write(text)
""",
    "trackio": """
def init(project, name, config):
    note("init", project, name, config)
    open(os.path.join(os.environ["TRACKIO_DIR"], "db"), "a").close()
def log(numbers):
    assert "time" not in numbers, "a reserved word"
    note("log", numbers)
def finish(): note("finish")
""",
}  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(
        tmp_path / "run", 3, methods=("none", "fastvmt", "ditflow"), failed={("case-0001", "ditflow", 0): "it broke"}
    )


def test_parquet_holds_every_number_and_every_reason(tmp_path: Path, run: Path) -> None:
    said = bench("export", run, "--to", "parquet", "--out", tmp_path / "p")
    assert said.code == 0 and len(said.out.splitlines()) == 2
    read = pd.read_parquet(tmp_path / "p" / "frame.parquet")
    pd.testing.assert_frame_equal(read, fastvmt.frame([run]))
    videos = pd.read_parquet(tmp_path / "p" / "videos.parquet").set_index(["case", "label"])
    assert len(videos) == 9 and set(videos["status"]) == {"made", "failed"}
    assert videos.loc[("case-0001", "ditflow")]["why"] == "error: it broke"
    assert json.loads(videos.loc[("case-0001", "fastvmt")]["params"])["inner"] > 0
    assert sorted(p.name for p in (tmp_path / "p").iterdir()) == ["frame.parquet", "videos.parquet"]


def header_of(card: str) -> dict[str, Any]:
    import yaml

    return yaml.safe_load(card.split("---\n")[1])  # type: ignore[no-any-return]


def test_the_hub_layout_is_what_datasets_reads(tmp_path: Path, run: Path) -> None:
    fastvmt.export([run], "hub", tmp_path / "h")
    text = (tmp_path / "h" / "README.md").read_text()
    head = header_of(text)
    assert head["license"] == "unknown" and [c["config_name"] for c in head["configs"]] == ["numbers", "videos"]
    for config, info in zip(head["configs"], head["dataset_info"], strict=True):
        read = pd.read_parquet(tmp_path / "h" / config["data_files"])
        assert [f["name"] for f in info["features"]] == list(read.columns)
        kinds = {"bool": "b", "int64": "i", "float64": "f"}
        for feature in info["features"]:
            kind = read.dtypes[feature["name"]].kind
            assert kind == kinds.get(feature["dtype"], kind) and (feature["dtype"] == "string") == (kind not in "bif")
    lines = [json.loads(x) for x in (tmp_path / "h" / "videos" / "metadata.jsonl").read_text().splitlines()]
    names = {p.name for p in (tmp_path / "h" / "videos").iterdir()} - {"metadata.jsonl"}
    assert {x["file_name"] for x in lines} == names and len(names) == 8
    assert "FastVMT" in text.split("## Table")[1] and "1 failed (error)" in text
    fastvmt.export([run], "hub", tmp_path / "without", videos=False)
    assert not (tmp_path / "without" / "videos").exists()


def test_a_hostile_prompt_and_suite_name_stay_text_in_the_card(tmp_path: Path) -> None:
    bad = 'x"\nlicense: mit\n---\n<script>alert(1)</script>'
    run = make_run(tmp_path / "run", make_cases(1, prompt=bad), suite=bad.replace("\n", " "), notes=[bad])
    fastvmt.export([run], "hub", tmp_path / "h")
    text = (tmp_path / "h" / "README.md").read_text()
    head = header_of(text)
    assert head["license"] == "unknown" and "license: mit" in head["pretty_name"]
    assert "<script>" not in text.split("---\n", 2)[2]
    assert pd.read_parquet(tmp_path / "h" / "data" / "videos.parquet")["prompt"].tolist()[0] == bad


@pytest.mark.parametrize("tool", sorted(MODULES))
def test_each_tool_gets_every_cell_of_the_table(tmp_path: Path, run: Path, tool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / f"{tool}.py").write_text(FAKE + MODULES[tool])
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.delitem(sys.modules, tool, raising=False)
    monkeypatch.setenv("SEEN_FILE", str(tmp_path / "seen"))
    fastvmt.export([run], tool, tmp_path / "out")
    seen = [json.loads(x) for x in (tmp_path / "seen").read_text().splitlines()]
    names = [s[2] for s in seen if s[0] == "init"]
    numbers = dict(zip(names, [s[1] for s in seen if s[0] == "log"], strict=True))
    assert sorted(names) == ["ditflow", "fastvmt", "none"] and sum(s[0] == "finish" for s in seen) == 3
    view = fastvmt.table(run).view
    for line in view.lines:
        for column, cell in zip(view.columns, line.cells, strict=True):
            assert numbers[line.key].get(f"mean/{column.key}") == cell.value
            assert cell.value is None or numbers[line.key][f"n/{column.key}"] == cell.n
    configs = [s[3] if tool != "mlflow" else s[1] for s in seen if s[0] == ("params" if tool == "mlflow" else "init")]
    assert all(c["table_digest"] == fastvmt.table(run).digest for c in configs)
    assert any((tmp_path / "out").iterdir()) and not (tmp_path / "out" / ".unfinished-export").exists()


@pytest.mark.parametrize("tool", sorted(MODULES))
def test_a_tool_that_is_not_installed_is_one_sentence(
    tmp_path: Path, run: Path, tool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, tool, None)
    with pytest.raises(SpecError, match=f"needs the package {tool}; install it with: pip install"):
        fastvmt.export([run], tool, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_tool_that_fails_leaves_nothing_half_written(tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "trackio.py").write_text("def init(**facts):\n    raise RuntimeError('disk full')\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.delitem(sys.modules, "trackio", raising=False)
    with pytest.raises(SpecError, match="could not write it \\(RuntimeError: disk full\\)"):
        fastvmt.export([run], "trackio", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_over_and_a_killed_export_is_done_again(tmp_path: Path, run: Path) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "thesis.tex").write_text("x")
    said = bench("export", run, "--to", "parquet", "--out", out)
    assert said.code == 2 and "not empty" in said.err and [p.name for p in out.iterdir()] == ["thesis.tex"]
    (out / ".unfinished-export").touch()  # as a kill leaves it
    assert fastvmt.export([run], "parquet", out) and not (out / "thesis.tex").exists()
    with pytest.raises(SpecError, match="--to excel: there is no such choice"):
        fastvmt.export([run], "excel", tmp_path / "x")
