"""Plug-ins as their authors meet them: a short form to fill in, a file to begin with, and checks that say what is wrong."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import fastvmt
from fastvmt.artefacts.code_state import code_digest
from fastvmt.cli import new
from fastvmt.errors import SpecError, UserError
from fastvmt.plugins import registry
from fastvmt.testing import CHECKS, Trial, check_method, check_metric, check_suite, check_tracker, small

MINIMAL = """\
from fastvmt import Context, Method


class Mine(Method):
    id = "mine"
    def start(self, ctx: Context):
        return ctx.backbone.noised(ctx.reference(), ctx.sigmas[0], ctx.noise), 0
METHODS = {"mine": Mine}
"""


def load(folder: Path, text: str, name: str = "mine.py") -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(text)
    registry.load_plugin(str(file))
    return file


# --- the contract -----------------------------------------------------------------------------------------------------


def test_every_public_name_is_there_and_says_what_it_is() -> None:
    said = {name: inspect.getdoc(getattr(fastvmt, name)) for name in fastvmt.__all__ if name != "__version__"}
    assert not [name for name, doc in said.items() if not doc or doc == inspect.getdoc(ModuleType)]
    assert {"Tracker", "Tracks", "ClipEntry", "Target", "Wanted", "Workspace", "SuiteError", "MissingWeights"} <= said.keys()


def test_a_method_of_eight_lines_makes_videos(tmp_path: Path, backbone: Any) -> None:
    assert len(MINIMAL.splitlines()) == 8
    load(tmp_path, MINIMAL)
    own, plain = (Trial(registry.methods.get(name), backbone) for name in ("mine", "none"))
    assert all(CHECKS[c](own) == "" for c in ("hooks_return_what_the_loop_takes", "the_cost_formula_counts"))
    assert torch.equal(own.video(), plain.video())  # at level 1 nothing is left of the reference


def test_an_unknown_role_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="toy"):
        load(tmp_path, MINIMAL.replace('id = "mine"', "id = \"mine\"; role = 'best'"))


# --- files ------------------------------------------------------------------------------------------------------------


def test_two_files_of_one_name_both_load(tmp_path: Path) -> None:
    load(tmp_path / "a", MINIMAL)
    load(tmp_path / "b", MINIMAL.replace("mine", "other").replace("Mine", "Other"))
    first, second = registry.methods.get("mine"), registry.methods.get("other")
    assert inspect.getsource(first) != inspect.getsource(second) and "" != code_digest(first) != code_digest(second)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (MINIMAL.replace('{"mine"', '{"yours"'), "METHODS lists Mine as 'yours' and the class calls itself 'mine'"),
        (MINIMAL.replace("return", "return ("), r"SyntaxError: .* \(mine.py, line [0-9]+\)"),
        (
            MINIMAL + "def broken():\n    return 1 / 0\n\n\nbroken()\n",
            r"ZeroDivisionError: division by zero \(mine.py, line 10\)",
        ),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_its_place(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=words):
        load(tmp_path, text)


# --- a file to begin with ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "check"), [("metric", check_metric), ("tracker", check_tracker), ("suite", check_suite)])
def test_a_new_file_passes_its_check(kind: str, check: Callable[[Any], Any], tmp_path: Path) -> None:
    registry.load_plugin(str(new.write(kind, f"my_{kind}", tmp_path)))
    found = check(getattr(registry, f"{kind}s").get(f"my_{kind}"))
    assert len(found.held) >= 3 and f"my_{kind}" in str(found)


def test_a_new_method_passes_its_check_and_transfers_motion(tmp_path: Path, xs: Path, backbone: Any) -> None:
    registry.load_plugin(str(new.write("method", "my_method", tmp_path)))
    cls = registry.methods.get("my_method")
    found = check_method(cls, xs)
    assert "hooks_return_what_the_loop_takes" in found.held and "it has no loss" in str(found)

    def follows(name: str) -> float:
        trial = Trial(registry.methods.get(name), backbone)
        own, wanted = (x - x.mean(2, keepdim=True) for x in (trial.video(), trial.context().reference()))
        return float(torch.cosine_similarity(own.flatten(), wanted.flatten(), dim=0))

    assert follows("my_method") > follows("none") + 0.1


def test_a_new_file_replaces_nothing_and_has_a_usable_name(tmp_path: Path) -> None:
    file = new.write("method", "mine", tmp_path)
    before = file.read_text()
    with pytest.raises(UserError, match="there already"):
        new.write("metric", "mine", tmp_path)
    assert new.write("plugin", "package", tmp_path / "in") == tmp_path / "in" / "package"
    with pytest.raises(UserError, match="there already"):
        new.write("plugin", "package", tmp_path / "in")
    for kind, name, words in (("method", "Mine!", "lower-case"), ("method", "class", "lower-case"), ("method", "torch", "Python module"),
                              ("suite", "folder", "a suite has that name"), ("plugin", "ditflow", "a method has that name"),
                              ("table", "mine", "use method, metric, tracker, suite, plugin")):  # fmt: skip
        with pytest.raises(SpecError, match=words):
            new.write(kind, name, tmp_path)
    assert file.read_text() == before and {p.name for p in tmp_path.iterdir()} == {"mine.py", "in"}


# --- checks find what is planted --------------------------------------------------------------------------------------


class Good(fastvmt.Metric):
    id = "good"
    range = (0.0, 255.0)

    def score(self, scored: fastvmt.Scored) -> fastvmt.Value:
        return fastvmt.Value(float(scored.generated.mean()))


def metric(**changes: Any) -> type[Good]:
    return type("Planted", (Good,), changes)


calls = iter(range(1000))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"applies_": lambda self, case: True}, "applies_ is no part of a Metric.*did you mean applies"),
        ({"direction": "higher"}, "direction is str 'higher', expected up, down or none"),
        ({"identity": lambda self: {"metric": "good"}}, "identity returned .* expected version"),
        ({"score": lambda self, scored: 0.5}, "score returned float 0.5, expected a Value"),
        ({"score": lambda self, scored: fastvmt.Value(256.0)}, r"score returned 256.0, expected 0.0 to 255.0"),
        ({"score": lambda self, scored: fastvmt.Value(float("nan"))}, "expected a finite number"),
        ({"score": lambda self, scored: fastvmt.Value(None)}, "details that say why"),
        ({"score": lambda self, scored: fastvmt.Value(float(next(calls) % 250))}, "score returned .* expected .* as before"),
        ({"score": lambda self, scored: scored.generated.fill(0) or fastvmt.Value(0.0)}, "changed the frames"),
        ({"score": lambda self, scored: scored.nothing}, "score raised AttributeError"),
    ],
)
def test_a_metrics_fault_is_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check_metric(metric(**changes))


def test_a_metric_whose_weights_are_missing_is_not_scored() -> None:
    found = check_metric(metric(missing=lambda self: "fetch it"))
    assert found.held == ("it_says_what_it_is",) and set(found.skipped.values()) == {"fetch it"}


def test_a_good_tracker_passes_and_a_trackers_fault_is_named() -> None:
    lk = registry.trackers.get("lk")
    assert len(check_tracker(lk).held) == 5
    plain = lk.track
    faults: dict[str, Callable[[fastvmt.Tracks], Any]] = {
        "points: .* expected finite numbers": lambda t: replace(t, points=t.points[:, :-1]),
        "visible: .* expected bool": lambda t: replace(t, visible=t.visible.astype(float)),
        "from their queries": lambda t: replace(t, points=t.points[..., ::-1]),
        "from their true places": lambda t: replace(t, points=np.repeat(t.points[:, :1], t.points.shape[1], 1)),
        "track returned tuple|track returned \\(": lambda t: (t.points, t.visible),
    }
    for words, change in faults.items():
        planted = type("Planted", (lk,), {"track": lambda self, f, q=None, change=change: change(plain(self, f, q))})
        with pytest.raises(AssertionError, match=words):
            check_tracker(planted)


class Clips:
    """One drawn clip, and how it is spoilt."""

    name = "clips"
    id, spoil = "one", staticmethod(lambda case, frames: (case, frames))

    def cases(self, wanted: fastvmt.Wanted) -> Iterator[Any]:
        frames = np.zeros((wanted.frames, 40, 40, 3), np.uint8)
        yield self.spoil(*fastvmt.case_of_frames(self.id, frames, wanted, "a red square"))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda case, frames: case, "expected \\(Case, frames\\)"),
        (lambda case, frames: (case, frames[:, ::2]), "expected uint8 of shape \\(17, 64, 64, 3\\)"),
        (lambda case, frames: (case, frames + 1), "the size and digest of its frames"),
        (lambda case, frames: (case.model_copy(update={"prompt": " "}), frames), "expected words"),
        (lambda case, frames: (case.model_copy(update={"caption": str(next(calls))}), frames), "the second time"),
    ],
)
def test_a_suites_fault_is_named(spoil: Callable[..., Any], words: str) -> None:
    assert len(check_suite(Clips).held) == 3
    with pytest.raises(AssertionError, match=words):
        check_suite(type("Planted", (Clips,), {"spoil": staticmethod(spoil)}))


def test_a_suite_of_files_is_opened_where_its_files_are(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "dog").mkdir()
    for t in range(17):
        Image.new("RGB", (64, 64), (t, 0, 0)).save(tmp_path / "dog" / f"{t:03}.png")

    class Files:
        name = "files"
        ids = ("dog",)

        def entries(self, wanted: fastvmt.Wanted) -> list[fastvmt.ClipEntry]:
            targets = (fastvmt.Target("a", "a cat runs"),)
            return [fastvmt.ClipEntry(i, i, (wanted.root or Path("nowhere")) / "dog", targets) for i in self.ids]

    assert len(check_suite(Files, root=tmp_path).held) == 4
    assert "data are not here" in str(check_suite(Files))
    with pytest.raises(AssertionError, match="each once"):
        check_suite(type("Twice", (Files,), {"ids": ("dog", "dog")}), root=tmp_path)


@pytest.mark.parametrize(
    ("hook", "value", "words"),
    [
        ("start", (torch.zeros(1), 0), "start returned .* expected a floating-point tensor .* and the first step"),
        ("scope", None, "scope returned None, expected a context manager"),
        ("adjust", torch.zeros(3), "adjust returned Tensor of shape \\(3,\\)"),
        ("steer", torch.zeros(7), "steer returned .* added to the latent"),
        ("settle", None, "settle returned None"),
        ("prepare", [1], "prepare returned .* expected tensors by name"),
    ],
)
def test_a_hooks_fault_is_named(hook: str, value: Any, words: str, backbone: Any) -> None:
    cls = type("Planted", (fastvmt.Method,), {"id": "planted", hook: lambda self, *a: value})
    with pytest.raises(AssertionError, match=words):
        CHECKS["hooks_return_what_the_loop_takes"](Trial(cls, backbone, small(cls)))
