"""Plug-ins at fault, as a command line meets them: one sentence with file and line, exit code 2, and stdout is for results."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
from support.cli import bench, spawn

METHOD = "from fastvmt import *\n\nclass Mine(Method):\n    id = 'mine'\n    {}\n\nMETHODS = {{'mine': Mine}}\n"
METRIC = "from fastvmt import *\n\nclass Mine(Metric):\n    id = 'mine'\n    {}\n\nMETRICS = {{'mine': Mine}}\n"
PLACE = r"\(mine.py, line \d+(, \w+)?\)"
OWN = "class Own(BaseException): pass\n"

AT_IMPORT: dict[str, tuple[str, str]] = {
    "no method": ("class Mine: id = 'mine'\nMETHODS = {'mine': Mine}", rf"METHODS lists Mine, which is no fastvmt.Method.*{PLACE}"),
    "a number": ("METHODS = {'mine': 5}", "'mine' is int 5"),
    "a metric as a method": ("from fastvmt import Metric\nclass Mine(Metric): id = 'mine'\nMETHODS = {'mine': Mine}", "no fastvmt.Method"),
    "variants": (METHOD.format("variants = 5"), rf"Mine.variants is int 5, expected changes by name.*{PLACE}"),
    "a variant": (METHOD.format("variants = {'weak': {'strenght': 1}}"), "Mine.variants"),
    "cost": (METHOD.format("cost = 5"), "Mine.cost is int 5, expected a function"),
    "hook": (METHOD.format("adjust = None"), "Mine.adjust is None, expected a function"),
    "params": (METHOD.format("Params = dict"), "Mine.Params is .*expected a subclass of fastvmt.Params"),
    "a parameter without default": (METHOD.format("class Params(Params):\n        x: int"), "Mine.Params"),
    "work that is no number": (METHOD.format("class Params(Params):\n        how: str = 'x'\n    protocols = Protocols(work='how')"), "Mine.protocols"),
    "protocols": (METHOD.format("protocols = Protocols(work='steps')"), "Mine.protocols"),
    "study": (METHOD.format("study = {}"), "Mine.study is dict"),
    "version": (METHOD.format("version = '2'"), "Mine.version is str '2', expected int"),
    "doc": (METHOD.format("__doc__ = 5"), "Mine.__doc__ is int 5"),
    "another id": (METHOD.replace("'mine': Mine", "'yours': Mine").format(""), "lists Mine as 'yours' and the class calls itself 'mine'"),
    "direction": (METRIC.format("direction = 'higher'"), "Mine.direction is str 'higher', expected up, down or none"),
    "range": (METRIC.format("range = 5"), "Mine.range is int 5"),
    "unit": (METRIC.format("unit = None"), "Mine.unit is None, expected str"),
    "a suite": ("class Mine: name = 'mine'\nSUITES = {'mine': Mine}", "has none of cases, entries, path"),
    "raises": ("def f():\n    raise ValueError('no')\n\nf()", r"ValueError: no \(mine.py, line 2\)"),
    "leaves": ("import sys\nsys.exit(1)", r"SystemExit: 1 \(mine.py, line 2\)"),
    "its own class": (OWN + "raise Own('x')", r"Own: x \(mine.py, line 2\)"),
    "GeneratorExit": ("raise GeneratorExit", r"GeneratorExit \(mine.py, line 1\)"),
    "click": ("import click\nraise click.exceptions.Exit(1)", r"\(mine.py, line 2\)"),
    "no words": ("class Bad(Exception):\n    def __str__(self): return 5\nraise Bad", r"Bad: \(it has no words\) \(mine.py, line 3\)"),
    "lists that raise": ("class Bad(dict):\n    def keys(self): 1 / 0\n    __iter__ = keys\nMETHODS = Bad(a=1)", "ZeroDivisionError"),
}  # fmt: skip


@pytest.mark.parametrize("name", AT_IMPORT)
def test_a_file_at_fault_is_refused_in_a_sentence(name: str, tmp_path: Path) -> None:
    text, words = AT_IMPORT[name]
    (tmp_path / "mine.py").write_text(text)
    said = bench("list", "methods", "--plugin", tmp_path / "mine.py")
    assert said.code == 2 and re.search(words, said.err) and "report" not in said.err, said.err
    assert len(said.err.splitlines()) == 1


AT_WORK: dict[str, tuple[str, str, str]] = {
    "cost raises": (METHOD, "def cost(cls, params, shape): raise RuntimeError('no')", rf"RuntimeError: no {PLACE}"),
    "cost leaves": (METHOD, "def cost(cls, params, shape): raise SystemExit(1)", rf"SystemExit: 1 {PLACE}"),
    "cost is NaN": (METHOD, "def cost(cls, params, shape): return float('nan')", rf"cost returned float nan, expected.*{PLACE}"),
    "cost has no number": (METHOD, "def cost(cls, params, shape): return '2'", "cost returned str '2'"),
    "resolve returns nothing": (METHOD, "def resolve(cls, params, shape): pass", "resolve returned None, expected a Params"),
    "trains raises": (METHOD, "def trains(cls): 1 / 0", rf"in trains: ZeroDivisionError: division by zero {PLACE}"),
    "a label of nothing": (METRIC, "label = None", "label returned None, expected the id"),
    "another label": (METRIC, "label = 'yours'", "label returned str 'yours', expected the id"),
    "parameters that are no data": (METHOD, "class Params(Params):\n        x: object = object()", rf"in resolve: Pydantic\w+Error.*{PLACE}"),
    "a metric that cannot be made": (METRIC, "def __init__(self, params): 1 / 0", rf"when it is made: ZeroDivisionError.*{PLACE}"),
    "missing raises": (METRIC, "def missing(self): 1 / 0", rf"in missing: ZeroDivisionError.*{PLACE}"),
    "identity raises": (METRIC, "def identity(self): raise Own", rf"in identity: Own {PLACE}"),
    "identity is no data": (METRIC, "def identity(self): return {'a': object()}", rf"identity returned: TypeError.*{PLACE}"),
    "identity is a list": (METRIC, "def identity(self): return [1]", "identity returned list .*, expected a dictionary"),
    "validators raise": (METHOD, "class Params(Params):\n        @model_validator(mode='after')\n        def v(self): 1 / 0", "ZeroDivisionError"),
}  # fmt: skip


@pytest.mark.parametrize("name", AT_WORK)
def test_a_hook_at_fault_ends_in_a_sentence(name: str, tmp_path: Path) -> None:
    form, hook, words = AT_WORK[name]
    of_class = hook.startswith("def ") and "cls" in hook
    text = OWN + "from pydantic import model_validator\n" + form.format(("@classmethod\n    " if of_class else "") + hook)
    (tmp_path / "mine.py").write_text(text)
    with_it = ("--methods", "mine") if form is METHOD else ("--methods", "none", "--metrics", "mine")
    said = bench("plan", *with_it, "--limit", "1", "--plugin", tmp_path / "mine.py", "--out", tmp_path / "run")
    if "identity" in name:  # asked when a run begins
        said = bench("run", *with_it, "--limit", "1", "--plugin", tmp_path / "mine.py", "--out", tmp_path / "run")
    assert said.code == 2 and re.search(words, said.err) and "report the lines" not in said.err, said.err


SUITE = """
import numpy as np
from fastvmt import *

class Mine:
    name = 'mine'
    def cases(self, wanted):
        frames = np.zeros((wanted.frames, wanted.height, wanted.width, 3), np.uint8)
        {}
SUITES = {{'mine': Mine}}
"""


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("1 / 0", rf"in cases: ZeroDivisionError: division by zero {PLACE}"),
        ("yield 5", "cases returned int 5, expected (Case, frames)"),
        ("yield case_of_frames('a', frames, wanted, 'x')[0], frames[:3]", "returned ndarray of shape"),
        ("yield case_of_frames('a', frames, wanted, 'x')[0], frames + 1", "the digest of its frames"),
        ("raise SystemExit(1)", "in cases: SystemExit: 1"),
        ("pass\n    del cases\n    def path(self, root): pass", "path returned None, expected a folder"),
        (
            "pass\n    del cases\n    def entries(self, wanted): return [5]",
            "entries returned list .*, expected a list of ClipEntry",
        ),
        (
            "pass\n    del cases\n    def entries(self, wanted): return [ClipEntry(5, 'a', 'b', ())]",
            "entries: id: Input should be a valid string",
        ),
        ("return 5", r"in cases: TypeError: 'int' object is not iterable"),
    ],
)
def test_a_suite_at_fault_ends_in_a_sentence(code: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(SUITE.format(code))
    said = bench("plan", "--suite", "mine", "--methods", "none", "--plugin", tmp_path / "mine.py", "--out", tmp_path / "run")
    assert said.code == 2 and re.search(words.replace("(Case, frames)", r"\(Case, frames\)"), said.err), said.err


def test_a_suite_that_uses_one_array_for_all_its_clips_gives_each_its_own(tmp_path: Path) -> None:
    from fastvmt.plugins import registry
    from fastvmt.suites.opening import Wanted, open_suite

    code = (
        "for n in (1, 2):\n            frames[:] = n\n            yield case_of_frames(f'c{n}', frames, wanted, 'x')[0], frames"
    )
    (tmp_path / "mine.py").write_text(SUITE.format(code))
    registry.load_plugin(str(tmp_path / "mine.py"))
    first, second = (frames for _, frames in open_suite("mine", Wanted(64, 64, 5)))
    assert (first == 1).all() and (second == 2).all()


TRACKER = "from fastvmt import *\n\nclass Mine(Tracker):\n    id = 'mine'\n    def identity(self): return {{'a': 1}}\n    def track(self, frames, queries=None):\n        {}\n\nTRACKERS = {{'mine': Mine}}\n"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("1 / 0", rf"Tracker 'mine', in track: ZeroDivisionError: division by zero {PLACE}"),
        (
            "return Tracks(queries[:, None], queries[:, None, 0] > 0)",
            "track: points returned ndarray of shape .*, expected of shape",
        ),
        ("return None", "track returned None, expected Tracks"),
        *[
            (
                f"import numpy as np\n        p = np.zeros((len(queries), len(frames), 2), {kind})\n        {code}\n"
                "        return Tracks(p, np.ones(p.shape[:2], bool))",
                words,
            )
            for kind, code, words in [
                ("float", "p[3, 2, 0] = np.nan", "points returned float nan, .*finite.*where a track is visible"),
                ("'float32'", "p[0, 0, 1] = -np.inf", "points returned float -inf, .*finite"),
                ("float", "p[:] = 1e300", "points returned float 1e.300, .*finite"),  # the square of its steps is no number
                ("object", "p[:] = None", "points returned ndarray .*, expected numbers"),
            ]
        ],
        (
            "import numpy as np\n        n, t = len(queries), len(frames)\n"
            "        return Tracks(np.zeros((n, t, 2)), np.full((n, t), 0.4))",
            "visible returned ndarray .*, expected booleans",
        ),
        ("frames[:] = 0", "read-only"),
    ],
)
def test_a_tracker_at_fault_ends_in_a_sentence(code: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(TRACKER.format(code))
    said = bench("doctor", "--tracker", "mine", "--clips", "1", "--plugin", tmp_path / "mine.py")
    assert said.code == 2 and re.search(words, said.err), said.err


class _Point:
    """An entry point of an installed package."""

    def __init__(self, name: str, value: str) -> None:
        self.name, self.value, self.dist = name, value, None


def test_one_installed_plug_in_at_fault_breaks_no_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastvmt.plugins import registry

    (tmp_path / "bad_package.py").write_text(
        OWN + "from fastvmt import Method\nclass Meta(type):\n    @property\n    def summary(cls): raise Own\n"
        "class A(Method):\n    id = 'a'\n    variants = 5\nclass B(Method, metaclass=Meta):\n    id = 'b'\nclass C(Method):\n    id = 'other'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    points = [_Point("a", "bad_package:A"), _Point("b", "bad_package:B"), _Point("c", "bad_package:C")]
    monkeypatch.setattr(registry, "entry_points", lambda group: points if group == "fastvmt.methods" else [])
    monkeypatch.setattr(registry, "methods", registry.Registry("methods"))
    said = bench("list", "methods", "--json")
    rows = {row["name"]: row["summary"] for row in said.data}
    assert said.code == 0 and not rows["none"].startswith("BROKEN")
    assert "BROKEN" in rows["a"] and "variants" in rows["a"] and "BROKEN" in rows["b"]
    assert "calls itself 'other'" in rows["c"]


def test_what_a_plug_in_prints_is_not_among_the_results(tmp_path: Path) -> None:
    text = "import os, subprocess\nprint('by Python')\nos.write(1, b'by C\\n')\nsubprocess.run(['echo', 'by a child'])\n"
    text += METHOD.format("@classmethod\n    def cost(cls, params, shape):\n        print('at work')\n        return 8.0")
    (tmp_path / "mine.py").write_text(text)
    said = spawn(
        "plan", "--methods", "mine", "--limit", "1", "--json", "--plugin", tmp_path / "mine.py", "--out", tmp_path / "r"
    )
    assert said.code == 0 and json.loads(said.out)
    assert all(words in said.err for words in ("by Python", "by C", "by a child", "at work"))


def test_a_fault_that_nobody_expected_is_still_the_plug_ins(tmp_path: Path) -> None:
    text = METHOD.format("class Sly(dict):\n        def items(self): raise Own\n    variants = Sly(a={})")
    (tmp_path / "mine.py").write_text(OWN + text)
    said = bench("describe", "mine", "--plugin", tmp_path / "mine.py")
    assert said.code == 2 and re.search(r"Own.*mine.py, line \d+", said.err), said.err


def test_two_files_of_one_name_have_each_its_own_digest(tmp_path: Path) -> None:
    from fastvmt.artefacts.code_state import code_digest
    from fastvmt.plugins import registry

    for name in ("a", "b"):
        file = tmp_path / name / "mine.py"
        file.parent.mkdir()
        file.write_text(METHOD.format("").replace("mine", name))
        registry.load_plugin(str(file))
        file.write_text("# edited after it was loaded\n")
    for name in ("a", "b"):
        loaded = METHOD.format("").replace("mine", name).encode()
        assert code_digest(registry.methods.get(name)) == hashlib.sha256(loaded).hexdigest()[:16]
