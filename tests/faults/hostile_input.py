"""Files that want to get out or to be run: ids, paths, prompts, weights, downloads."""

from __future__ import annotations

import itertools
import json
import os
import pickle
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from fastvmt.errors import BenchError, SuiteError
from fastvmt.suites.cases import inside
from faults.fault import ROOT, Figure, fault, tests

STEPS = ("..", ".", "", "a", "...", "..\\", "a/..", "C:", "CON", "~", "%2e%2e", "\u2024\u2024", "．．", "a\x00b", " ", "-", "link", "loop",
         "\n", "\r", "\x1b[31m", "a" * 300, "🙂")  # fmt: skip


@fault("clip paths made of everything that climbs, hides or loops", promise=6, sample=5_000, whole=10_000)
def hostile_paths(n: int, place: Path) -> Figure:
    """A path is refused, or stays in the suite's folder; links out of it and in circles lie about."""
    root, figure, rng = place / "suite", Figure(), random.Random(8)
    root.mkdir()
    (place / "secret").mkdir()
    (root / "link").symlink_to(place / "secret")
    (root / "loop").symlink_to(root / "loop")
    for _ in range(n):
        text = rng.choice(("", "/", "//", "\\", "./")) + rng.choice("/\\/").join(rng.choices(STEPS, k=rng.randint(1, 6)))
        try:
            found = inside(root, text)
        except SuiteError:
            figure.count(True, "")
            continue
        kept = os.path.realpath(found).startswith(f"{os.path.realpath(root)}")
        figure.count(kept, f"{text!r} leads to {found}")
    return figure


@fault("ids that would be a path, hide or be a device", promise=6, sample=1, whole=1)
def hostile_ids(n: int, place: Path) -> Figure:
    from pydantic import ValidationError
    from support.runs import make_cases

    from fastvmt.model import Case

    case, figure = make_cases(1)[0].model_dump(), Figure()
    slashed = ("../x", "/x", "a/b", "a\\b", "<b>", "a;b")
    for text in (*slashed, "", ".", "..", ".hidden", "A", "a b", "a\x00", "a\n", "é", "x" * 129, "-a"):
        try:
            Case.model_validate(case | {"id": text})
            figure.count(False, f"{text!r} was taken as an id")
        except ValidationError:
            figure.count(True, "")
    return figure


class _Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = str(mark)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.system, (f"touch '{self.mark}'",)


@fault("a pickle that runs code, offered as weights of everything that reads weights", promise=6, sample=1, whole=1)
def hostile_weights(n: int, place: Path) -> Figure:
    """Each reader of foreign weights gets it as a bare pickle and in torch's own form; nothing of it may run."""
    import torch

    figure = Figure()
    for form, (name, read) in itertools.product(("pickle", "torch"), _readers().items()):
        folder = place / f"{form}-{name}"
        folder.mkdir()
        mark, file = folder / "mark", folder / "weights.bin"
        bad = {"state_dict": _Payload(mark), "teacher": _Payload(mark)}
        if form == "pickle":
            file.write_bytes(pickle.dumps(bad))
        else:
            torch.save(bad, file)
        try:
            read(file)
            ending = "it was read"
        except Exception as error:  # whatever it says, it must not have run anything
            ending = type(error).__name__
        figure.count(not mark.exists() and ending != "it was read", f"{name}, {form}: {ending}, ran: {mark.exists()}")
    sure, proof = place / "sure", place / "sure.bin"
    proof.write_bytes(pickle.dumps(_Payload(sure)))
    pickle.loads(proof.read_bytes())
    assert sure.exists(), "the payload itself does nothing here, so the figures above say nothing"
    return figure


def _readers() -> dict[str, Callable[[Path], Any]]:
    import open_clip

    from fastvmt.metrics.trackers import tapvid
    from fastvmt.metrics.vbench import native, vit

    return {
        "dino": vit.load_dino, "clip": vit.load_clip, "tapvid": tapvid.read, "head": native._head,
        "open_clip": lambda path: open_clip.create_model("RN50", str(path), weights_only=True),
    }  # fmt: skip


@fault("torch.load without weights_only, unpickling, shells and foreign code in the source", promise=6, sample=1, whole=1)
def dangerous_calls(n: int, place: Path) -> Figure:
    """Every call in the package's own source that could run what a file says."""
    import ast

    figure = Figure()
    for folder in ("fastvmt", "methods", "metrics", "datasets", "reports"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            tree = ast.parse(file.read_text())
            for call in (c for c in ast.walk(tree) if isinstance(c, ast.Call)):
                name, words = ast.unparse(call.func), {k.arg: ast.unparse(k.value) for k in call.keywords}
                where = f"{file.relative_to(ROOT)}:{call.lineno} {name}"
                if name == "torch.load":
                    safe = words.get("weights_only") == "True"
                    figure.count(safe, f"{where} without weights_only=True")
                elif name in ("pickle.load", "pickle.loads", "eval", "exec", "os.system", "marshal.loads"):
                    figure.count(False, where)
                elif name.startswith("subprocess."):
                    figure.count("shell" not in words, f"{where} with a shell")
                elif words.get("trust_remote_code", "False") != "False":
                    figure.count(False, f"{where} trusts remote code")
    return figure


@fault("run folders whose config.json is cut, of another format, or nonsense", promise=3, sample=20, whole=200)
def broken_configs(n: int, place: Path) -> Figure:
    """Each is refused in one sentence that names the file, and nothing in the folder changes."""
    from fastvmt.store.folder import Store
    from faults.runs import make_light

    folder = make_light(place / "run", cases=1)
    path, figure = folder / "config.json", Figure()
    whole = path.read_bytes()
    good = json.loads(whole)
    others: list[bytes] = [b"", b"\xff\xfe", b"[]", b"null", b"5", b'"text"', b"{}", b"\x00" * 100]
    others += [json.dumps(good | change).encode() for change in (
        {"format": 0}, {"format": 2}, {"format": "1"}, {"format": None}, {"seeds": "all"}, {"unknown": 1}, {"suite": []},
        {"metrics": [5]}, {"threads": "many"}, {"seeds": [1e400]},
    )]  # fmt: skip
    others += [whole[: len(whole) * i // n] for i in range(n)]
    for raw in others[:n] if n < len(others) else others:
        path.write_bytes(raw)
        try:
            Store.open(folder).config()
            ending = "it was read"
        except BenchError as error:
            ending = "" if "config.json" in str(error) and "\n" not in str(error) else f"said: {error}"
        except Exception as error:
            ending = f"{type(error).__name__}: {error}"
        figure.count(not ending or raw == whole, f"{raw[:40]!r}: {ending}")
    path.write_bytes(whole)
    return figure


@fault("backbone folders whose configs are cut, empty, of another kind or lack a size", promise=3, sample=1, whole=1)
def broken_backbones(n: int, place: Path) -> Figure:
    import shutil

    from fastvmt.backbones import card as cards

    figure, tiny = Figure(), ROOT / "fastvmt" / "backbones" / "tiny" / "weights"
    kinds = ('{"_class_name": "OtherPipeline"}', '{"patch_size": 2}', '{"z_dim": "x"}')
    bad = ("", "{", "[]", "5", "{}", *kinds, "\x00", "= 1", "defaults = 3")
    for name in ("model_index.json", "transformer/config.json", "vae/config.json", "bench.toml"):
        folder = place / "backbone"
        shutil.copytree(tiny, folder, dirs_exist_ok=True)
        for text in (None, *bad):
            for part in ("model_index.json", "transformer/config.json", "vae/config.json", "bench.toml"):
                shutil.copyfile(tiny / part, folder / part)
            (folder / name).unlink() if text is None else (folder / name).write_text(text)
            ending = _ending(partial(cards.load, str(folder)))
            fine = name == "bench.toml" and not text
            figure.count(ending == ("" if fine else "UserError"), f"{name} {text!r}: {ending or 'it was read'}")
    return figure


def _ending(call: Callable[[], Any]) -> str:
    try:
        call()
    except Exception as error:
        return type(error).__name__
    return ""


tests("manifests", "hostile and broken suites, manifests, prompts and file names", 6,
      ["tests/suites/test_format.py", "tests/suites/test_bad_inputs.py"])  # fmt: skip
tests("archives", "hostile and damaged archives", 6, ["tests/suites/test_data_sets_hostile.py"])
tests("downloads", "downloads cut, refused, changed, wrong, without end, twice at once, killed", 6,
      ["tests/suites/test_data_sets.py"])  # fmt: skip
tests("pages", "200 payloads in prompts, ids and errors of a report, as text and in a browser", 6,
      ["tests/reports/page/test_browser.py::test_two_hundred_payloads_execute_nothing", "tests/reports/page/test_hostile.py"])  # fmt: skip
tests("texts", "hostile text in every form of a table", 6, ["tests/reports/tables/test_render_hostile.py"])
tests("foreign_runs", "hostile and damaged run folders, merged", 6,
      ["tests/exchange/test_merge.py::test_a_hostile_run_is_refused_in_one_sentence",
       "tests/exchange/test_merge.py::test_paths_pickles_and_plug_ins_of_a_hostile_run_do_no_harm",
       "tests/exchange/test_merge.py::test_a_file_that_is_not_what_it_was_is_a_failure_and_not_a_video",
       "tests/exchange/test_merge.py::test_kill_9_in_the_middle_goes_on_to_the_same_bytes",
       "tests/runner/test_code.py::test_what_a_run_folder_names_is_not_run_by_whoever_goes_on_with_it",
       "tests/runner/test_code.py::test_reading_needs_no_plug_in",
       "tests/runner/test_executors.py::test_nothing_is_imported_from_a_run_folder"])  # fmt: skip
tests(
    "links",
    "links, pipes and second names in every place of a run folder, under every command",
    6,
    ["tests/store/test_plain.py"],
)
tests("fields", "values that are none in any field of a run folder or baseline, and videos that decode to too much", 6,
      ["tests/model/test_fields.py", "tests/reports/test_foreign_videos.py"])  # fmt: skip
tests("words", "words that would steer a terminal, a spreadsheet or a shell", 6, ["tests/cli/test_hostile_words.py"])
tests("foreign_code", "code of others: only the pinned commit, only after it was made or fetched by hand", 6,
      ["tests/metrics/trackers/test_cotracker.py::test_the_hubs_folder_is_run_only_when_it_is_the_pinned_commit",
       "tests/metrics/trackers/test_cotracker.py::test_a_damaged_checkpoint_and_foreign_code_get_a_sentence", "tests/plugins/test_environments.py"])  # fmt: skip
