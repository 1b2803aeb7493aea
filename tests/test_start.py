"""Where people start: a notebook, two container files, and an action for pull requests do what they say."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from support.cli import bench
from support.gate_runs import only, run_folder
from support.places import ROOT

from fastvmt.reports.gate.junit import MARKER

ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
WORKFLOWS = (
    ROOT / "docs" / "reference" / "github-actions.yml",
    ROOT / "fastvmt" / "plugins" / "templates" / "plugin" / "tests.yml.txt",
)


# --- the notebook -----------------------------------------------------------------------------------------------------

NOTEBOOK = ROOT / "docs" / "notebooks" / "first_table.ipynb"


def test_the_notebook_is_kept_without_what_it_printed() -> None:
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    assert cells and not [cell for cell in cells if cell["outputs"] or cell["execution_count"]]


@pytest.mark.slow
def test_the_notebook_runs_as_it_is_read(tmp_path: Path) -> None:
    shutil.copy(NOTEBOOK, tmp_path)
    bin = Path(sys.executable).parent
    env = os.environ | {
        "PATH": f"{bin}{os.pathsep}{os.environ['PATH']}",
        **{name: str(tmp_path / name) for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR")},
    }
    done = subprocess.run(
        [bin / "jupyter-execute", "--inplace", NOTEBOOK.name], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    cells = json.loads((tmp_path / NOTEBOOK.name).read_text())["cells"]
    shown = {
        key: str(out["data"][key]) for cell in cells for out in cell.get("outputs", ()) if "data" in out for key in out["data"]
    }
    assert "image/png" in shown and "<table" in shown["text/html"]
    printed = "".join(str(out.get("text", "")) for cell in cells for out in cell.get("outputs", ()))
    assert "5 videos, 0 already there, 5 to make" in printed and "Cell(value=0." in printed


# --- containers -------------------------------------------------------------------------------------------------------


def instructions(name: str) -> list[tuple[str, str]]:
    lines = [x for x in (ROOT / name).read_text().replace("\\\n", " ").splitlines() if x and not x.startswith("#")]
    return [(word, " ".join(rest.split())) for word, _, rest in (line.partition(" ") for line in lines)]


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.cuda"])
def test_a_container_copies_what_the_wheel_is_made_of_and_runs_bench_as_nobody_special(name: str, tmp_path: Path) -> None:
    found = instructions(name)
    allowed = {x[1:] for x in (ROOT / ".dockerignore").read_text().splitlines() if x.startswith("!")}
    for source in (s for word, rest in found if word == "COPY" for s in rest.split()[:-1]):
        copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
        copy(ROOT / source, tmp_path / source, **({"symlinks": True} if copy is shutil.copytree else {}))
        allowed.remove(source)
    assert not allowed
    # As setuptools will find it there: the package through its link, with the folders that lie beside it.
    assert (tmp_path / "src" / "fastvmt" / "methods" / "fastvmt.py").is_file()
    assert (tmp_path / "src" / "fastvmt" / "reports" / "page" / "files" / "report.css").is_file()
    words = dict(found)
    assert words["ENTRYPOINT"] == '["bench"]' and words["USER"] not in ("root", "0")
    assert [word for word, _ in found].index("USER") > max(i for i, (word, _) in enumerate(found) if word == "RUN")
    assert any("--mount=type=cache,target=/root/.cache/uv" in rest for word, rest in found if word == "RUN")


def test_the_containers_tell_to_type_what_the_readme_does() -> None:
    readme = (ROOT / "README.md").read_text()
    for name in ("Dockerfile", "Dockerfile.cuda"):
        told = re.sub(r"\\\n#\s*", "", (ROOT / name).read_text())
        (line,) = re.findall(r"^#   docker run .*? fastvmt-bench(?::cuda)? +(.*)$", told, re.M)
        assert f"bench {line}" in " ".join(readme.split())


# --- the action -------------------------------------------------------------------------------------------------------


class Hub(BaseHTTPRequestHandler):
    """As much of the site's interface as a comment needs: pages of comments, a new one, a changed one."""

    comments: list[dict[str, Any]]
    forbidden = False

    def do_GET(self) -> None:
        page = int(self.path.rpartition("page=")[2])
        self.answer(self.comments[(page - 1) * 100 : page * 100])

    def do_POST(self) -> None:
        self.comments.append({"id": len(self.comments), "user": {"type": "Bot"}, "body": self.body()})
        self.answer({})

    def do_PATCH(self) -> None:
        self.comments[int(self.path.rpartition("/")[2])]["body"] = self.body()
        self.answer({})

    def body(self) -> str:
        assert self.headers["Authorization"] == "Bearer secret"
        return str(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["body"])

    def answer(self, data: Any) -> None:
        self.send_response(403 if self.forbidden else 200)
        self.end_headers()
        self.wfile.write(json.dumps(data).encode())

    def log_message(self, *args: Any) -> None: ...


@pytest.fixture
def hub() -> Iterator[tuple[type[Hub], str]]:
    others = [{"id": n, "user": {"type": "User"}, "body": f"{MARKER} is what a person quotes"} for n in range(100)]
    kind = type("OneHub", (Hub,), {"comments": others})
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield kind, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Runner:
    """The machine that runs an action's steps: their shells, inputs as words of the environment, programs that stand in."""

    def __init__(self, folder: Path, api: str, made: Path, **inputs: str) -> None:
        self.folder, self.inputs = folder, {k: str(v.get("default", "")) for k, v in ACTION["inputs"].items()} | inputs
        (folder / "bin").mkdir()
        bench = folder / "bench"
        bench.write_text(f'#!/bin/sh\necho "$@" >> "{folder}/said"\n[ "$1" = check ] && exec "{sys.executable}" -m fastvmt.cli "$@"\n'
                         f'while [ "$1" != --out ]; do shift; done\ncp -r "{made}" "$2"\n')  # fmt: skip
        uv = folder / "bin" / "uv"
        uv.write_text(f'#!/bin/sh\necho "uv $*" "[$UV_CONSTRAINT]" >> "{folder}/said"\n'
                      f'if [ "$1" = venv ]; then mkdir -p "$3/bin" && cp "{bench}" "$3/bin/bench"; fi\n')  # fmt: skip
        python = folder / "bin" / "python"
        python.write_text(f'#!/bin/sh\n[ "$2" = pip ] && exit 0\nexec "{sys.executable}" "$@"\n')
        for program in (bench, uv, python):
            program.chmod(0o755)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("UV_")} | {  # whoever runs us may set uv's
            "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}", "RUNNER_TEMP": str(folder), "GITHUB_ACTIONS": "true",
            "GITHUB_ACTION_PATH": str(ROOT), "GITHUB_API_URL": api, "GITHUB_REPOSITORY": "us/ours", "GITHUB_RUN_ID": "7",
            "GITHUB_SERVER_URL": "https://example.org", "GITHUB_STEP_SUMMARY": str(folder / "summary"),
        }  # fmt: skip

    def step(self, name: str) -> subprocess.CompletedProcess[str]:
        (step,) = [s for s in ACTION["runs"]["steps"] if s.get("name") == name]
        assert "${{" not in step["run"], "words of a workflow would become code"
        context = {f"inputs.{k}": v for k, v in self.inputs.items()} | {"github.event.pull_request.number": "5"}
        context["inputs.token"] = "secret"
        env = {k: re.sub(r"\$\{\{ (.*?) \}\}", lambda found: context[found[1]], v) for k, v in step.get("env", {}).items()}
        shell = {"bash": ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"], "python": [sys.executable, "-c"]}[
            step["shell"]
        ]
        return subprocess.run([*shell, step["run"]], env=self.env | env, cwd=self.folder, capture_output=True, text=True)

    @property
    def said(self) -> str:
        return (self.folder / "said").read_text()


def test_the_action_and_the_workflows_that_we_show_are_what_their_schemas_ask_for() -> None:
    def check(schema: str, *files: Path) -> None:
        words = ["-m", "check_jsonschema", "--builtin-schema", f"vendor.github-{schema}", "--force-filetype", "yaml"]
        done = subprocess.run([sys.executable, *words, *map(str, files)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout

    check("actions", ROOT / "action.yml")
    check("workflows", *WORKFLOWS)
    used = yaml.safe_load(WORKFLOWS[0].read_text())["jobs"]["gate"]["steps"][1]["with"]
    assert set(used) <= set(ACTION["inputs"]) and {k for k, v in ACTION["inputs"].items() if v.get("required")} <= set(used)


def test_the_action_installs_runs_compares_and_keeps_one_comment(tmp_path: Path, hub: tuple[type[Hub], str]) -> None:
    kind, api = hub
    good, bad = run_folder(tmp_path / "good"), run_folder(tmp_path / "bad", only(-0.5))
    assert bench("baseline", "write", good, "--out", tmp_path / "base.json").code == 0
    words = '--suite "my clips" --methods $(touch owned)'
    runner = Runner(tmp_path, api, bad, run=words, baseline="base.json", install=". -r *.txt", torch="cpu")
    assert runner.step("Install").returncode == 0
    ours, theirs = [line for line in runner.said.splitlines() if "uv pip install" in line]
    assert f"--torch-backend cpu {ROOT} [{ROOT}/constraints.txt]" in ours and "--torch-backend cpu . -r *.txt []" in theirs
    assert runner.step("Run").returncode == 0 and not (tmp_path / "owned").exists()
    assert "run --suite my clips --methods $(touch owned) --no-reuse --out" in runner.said
    compared = runner.step("Compare")
    assert compared.returncode == 1 and "::error title=gate" in compared.stdout and (tmp_path / "summary").is_file()
    assert runner.step("Comment").returncode == 0 and len(kind.comments) == 101
    assert kind.comments[100]["body"] == (tmp_path / "fastvmt-gate" / "comment.md").read_text()
    assert "worse" in kind.comments[100]["body"] and ElementTree.parse(tmp_path / "fastvmt-gate" / "junit.xml")
    # The next push cannot even run: what stood there is replaced by that, and stays one comment behind a page of others.
    (tmp_path / "fastvmt-gate" / "comment.md").unlink()
    assert runner.step("Comment").returncode == 0 and len(kind.comments) == 101
    assert kind.comments[100]["body"].startswith(f"{MARKER}\n**Gate: nothing was compared.**")
    assert "https://example.org/us/ours/actions/runs/7" in kind.comments[100]["body"]
    kind.forbidden = True
    refused = runner.step("Comment")
    assert (
        refused.returncode == 0
        and refused.stdout.startswith("::warning title=gate::")
        and "pull-requests: write" in refused.stdout
    )
