"""The seven rules that keep the five top-level folders safe (a package called ``datasets`` would destroy another's).

Rule 6, that workers start with a safe path and outside the checkout, is asserted on a real worker in ``test_run.py``."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from support.places import ROOT

FOLDERS = ("methods", "metrics", "datasets", "reports")
CORE_APPLICATIONS = ("tiny",)
"""Parts of ``fastvmt/`` that are applications on top of the core, and may import plug-ins."""


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_1_no_init_directly_in_the_folders() -> None:
    assert not [f for f in (*FOLDERS, "tests") if (ROOT / f / "__init__.py").exists()]


def test_2_every_folder_with_code_is_listed() -> None:
    listed = set(project()["tool"]["setuptools"]["packages"])
    found = set()
    for top in ("fastvmt", *FOLDERS):
        for path in (ROOT / top).rglob("*"):
            if path.suffix in (".py", ".toml", ".j2", ".css", ".js") and "__pycache__" not in path.parts:
                parts = path.parent.relative_to(ROOT).parts
                found.add(".".join(parts if top == "fastvmt" else ("fastvmt", *parts)))
    assert found == listed


def test_3_one_name_per_module() -> None:
    code = (
        "import sys, fastvmt.methods.fastvmt, fastvmt.metrics.cost, fastvmt.datasets.drawn.shapes, fastvmt.reports.tables.run_table\n"
        "bad = [m for m in sys.modules if m.split('.')[0] in ('methods', 'metrics', 'reports') or m.startswith('fastvmt.fastvmt')]\n"
        "own = getattr(sys.modules.get('datasets'), '__file__', '') or ''\n"
        "sys.exit(f'{bad} {own}' if bad or own.startswith(sys.argv[1]) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(ROOT)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {n.name for n in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{n.name}" for n in node.names} | {str(node.module)}
    return found


def test_4_direction_of_imports() -> None:
    """Core reaches methods, metrics and suites only through the registry; reports only from the API and the CLI.
    A plug-in imports core and its own siblings, and metrics and methods may read the drawn truth."""
    for path in (ROOT / "fastvmt").rglob("*.py"):
        if path.relative_to(ROOT / "fastvmt").parts[0] in CORE_APPLICATIONS:
            continue
        wrong = [m for m in imports(path) if m.startswith(("fastvmt.methods", "fastvmt.metrics", "fastvmt.datasets"))]
        assert not wrong, (path.name, wrong)
        if path.name not in ("api.py", "ending.py") and not path.name.endswith("cli.py"):
            assert not [m for m in imports(path) if m.startswith("fastvmt.reports")], path.name
    allowed = {
        "methods": ("methods", "datasets"),
        "metrics": ("metrics", "datasets"),
        "datasets": ("datasets",),
        "reports": ("reports",),
    }
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            foreign = [
                m for m in imports(path) if m.startswith(tuple(f"fastvmt.{f}" for f in FOLDERS if f not in allowed[folder]))
            ]
            assert not foreign, (path.name, foreign)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(["uv", "build", "--quiet", "--wheel", "--out-dir", str(out), str(ROOT)], check=True)
    return next(out.glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_holds_everything_and_only_one_top_level_package(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {n.split("/")[0] for n in names}
    assert {t for t in tops if not t.endswith(".dist-info")} == {"fastvmt"}
    for wanted in ("fastvmt/methods/fastvmt.py", "fastvmt/metrics/lk.py", "fastvmt/datasets/shapes.py", "fastvmt/reports/table.py",
                   "fastvmt/backbones/wan2.1-1.3b.toml", "fastvmt/backbones/tiny/weights/bench.toml", "fastvmt/backbones/tiny/weights/model_index.json",
                   "fastvmt/backbones/tiny/weights/transformer/diffusion_pytorch_model.safetensors", "fastvmt/py.typed"):  # fmt: skip
        assert wanted in names, wanted
    assert not [n for n in names if n.endswith((".pt", ".bin", ".pkl", ".ckpt"))]


@pytest.mark.slow
def test_7_installing_and_removing_our_wheel_leaves_hugging_face_datasets_whole(wheel: Path, tmp_path: Path) -> None:
    """Into a folder of its own: a stand-in of HF's layout, our wheel beside it, then ours taken out again."""
    venv = tmp_path / "venv"
    subprocess.run(["uv", "venv", "--quiet", "--python", sys.executable, str(venv)], check=True)
    python = venv / "bin" / "python"
    pip = ["uv", "pip", "install", "--quiet", "--python", str(python), "--no-deps"]
    subprocess.run([*pip, "datasets"], check=True)
    site = next((venv / "lib").glob("python*")) / "site-packages" / "datasets"
    before = {p.relative_to(site): p.read_bytes() for p in site.rglob("*.py")}
    assert len(before) > 50
    subprocess.run([*pip, str(wheel)], check=True)
    assert {p.relative_to(site): p.read_bytes() for p in site.rglob("*.py")} == before
    subprocess.run(["uv", "pip", "uninstall", "--quiet", "--python", str(python), "fastvmt-bench"], check=True)
    assert {p.relative_to(site): p.read_bytes() for p in site.rglob("*.py")} == before


def test_modules_stay_small() -> None:
    long = {
        p.name: n
        for top in ("fastvmt", *FOLDERS)
        for p in (ROOT / top).rglob("*.py")
        if (n := len(p.read_text().splitlines())) > 400
    }
    assert not long
