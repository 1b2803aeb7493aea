"""The package as it is installed: one top level, nobody's ``datasets`` shadowed, its types seen by whoever writes a plug-in."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from support.places import ROOT

from fastvmt.cli import new

FOLDERS = ("methods", "metrics", "datasets", "reports")
PLUGIN = """\
import fastvmt


class Brightness(fastvmt.Metric):
    id = "brightness"

    def score(self, scored: fastvmt.Scored) -> fastvmt.Value:
        return fastvmt.Value(float(scored.generated.mean()), {"case": %s})


METRICS = {"brightness": Brightness}
"""


def tracked(*places: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", *places], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [Path(line) for line in listed.splitlines()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(["uv", "build", "--quiet", "--wheel", "--out-dir", str(out), str(ROOT)], check=True)
    return next(out.glob("*.whl"))


def test_a_checkout_of_ours_on_the_path_shadows_no_other_package() -> None:
    """Without an ``__init__`` these folders give way to an installed package of their name, Hugging Face's ``datasets`` above all."""
    assert not [f for f in FOLDERS if (ROOT / f / "__init__.py").exists()]


def test_every_other_folder_says_what_question_it_answers_and_holds_few_modules() -> None:
    modules = [p for p in tracked("fastvmt", *FOLDERS, "tools") if p.suffix == ".py"]
    for folder in {p.parent for p in modules}:
        inside = [p for p in modules if p.parent == folder and p.name != "__init__.py"]
        assert len(inside) <= (8 if str(folder) == "fastvmt" else 15) or str(folder) in FOLDERS, folder
        if str(folder) not in FOLDERS:
            first = (ROOT / folder / "__init__.py").read_text().split('"""')[1]
            assert (len(first) > 20 and first.count("\n") < 10) or str(folder) == "fastvmt", folder
    assert not [p for p in modules if len((ROOT / p).read_text().splitlines()) > 400]


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {n.split("/")[0] for n in names if ".dist-info/" not in n} == {"fastvmt"}
    wanted = {str(p) for p in tracked("fastvmt") if not (ROOT / p).is_symlink()} | {f"fastvmt/{p}" for p in tracked(*FOLDERS)}
    assert wanted == {n for n in names if ".dist-info/" not in n}


@pytest.mark.slow
def test_installing_and_removing_our_wheel_leaves_hugging_face_datasets_whole(wheel: Path, tmp_path: Path) -> None:
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


@pytest.mark.slow
def test_a_new_package_passes_its_own_tests_beside_our_wheel(wheel: Path, tmp_path: Path) -> None:
    """In an environment of its own, which shares the packages that both need, and nothing of this checkout."""
    package = new.write("plugin", "my_motion", tmp_path)
    venv = tmp_path / "venv"
    subprocess.run(["uv", "venv", "--quiet", "--python", sys.executable, str(venv)], check=True)
    site = next((venv / "lib").glob("python*")) / "site-packages"
    (site / "shared.pth").write_text(next(p for p in sys.path if p.endswith("site-packages")))
    install = ["uv", "pip", "install", "--quiet", "--python", str(venv), "--no-deps", str(wheel), "--editable", str(package)]
    subprocess.run(install, check=True)
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    python = str(venv / "bin" / "python")
    done = subprocess.run([python, "-m", "pytest", "-q"], cwd=package, env=env, capture_output=True, text=True)
    assert done.returncode == 0 and "2 passed" in done.stdout, done.stdout[-2000:] + done.stderr[-2000:]


def test_a_plug_in_is_type_checked_against_the_installed_wheel(wheel: Path, tmp_path: Path) -> None:
    """mypy finds our types by ``py.typed`` and by nothing else."""
    venv = tmp_path / "venv"
    subprocess.run(["uv", "venv", "--quiet", "--python", sys.executable, str(venv)], check=True)
    subprocess.run(["uv", "pip", "install", "--quiet", "--python", str(venv), "--no-deps", str(wheel)], check=True)
    (tmp_path / "right.py").write_text(PLUGIN % "scored.case.id")
    (tmp_path / "wrong.py").write_text(PLUGIN % "scored.no_such_thing")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(venv / "bin" / "python"), "right.py", "wrong.py"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    errors = [line for line in done.stdout.splitlines() if "error:" in line]
    assert len(errors) == 1 and errors[0].startswith("wrong.py:8") and '"Scored" has no attribute "no_such_thing"' in errors[0]


def test_an_editor_finds_every_module_of_an_editable_install() -> None:
    """It reads plain paths from ``.pth`` files and runs no import hook."""
    site = next(Path(p) for p in sys.path if p.endswith("site-packages"))
    (said,) = [p.read_text().strip() for p in site.glob("__editable__.fastvmt_bench*.pth")]
    place = Path(said)
    assert (place / "fastvmt" / "methods" / "fastvmt.py").resolve() == ROOT / "methods" / "fastvmt.py"
    assert [p.name for p in place.iterdir() if not p.name.endswith("egg-info")] == ["fastvmt"]
