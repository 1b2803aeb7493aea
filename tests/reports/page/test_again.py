"""The command under *Again*: run as it is printed, it has the same jobs."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from support.cli import bench
from support.clips import clip
from support.light_runs import PLUGIN
from support.runs import make_run

import fastvmt
from fastvmt.errors import SpecError
from fastvmt.reports.page.facts import command
from fastvmt.reports.tidy import gather
from fastvmt.store.folder import Store

SIZE = ("--width", "32", "--height", "32", "--frames", "17", "--steps", "2", "--threads", "1", "--device", "cpu")
QUICK = ("--plugin", PLUGIN, "--methods", "quick", "--metrics", "nibble", "--no-controls")


def clips(place: Path, prompts: str = 'bus: a tram\ncar: it\'s "the" $sledge\n') -> Path:
    place.mkdir(parents=True)
    for number, name in enumerate(("bus", "car")):
        clip(place / f"{name}.mp4", frames=40, seed=number)
    (place / "prompts.txt").write_text(prompts)
    return place


def keys(folder: Path) -> list[str]:
    return [job.key for job in Store(folder).config().jobs()]


def again(folder: Path) -> list[str]:
    words = shlex.split(command(gather([folder])).replace("\\\n", " "))
    assert words[0] == "bench" and not any(word.startswith(str(Path.cwd())) for word in words)
    return words[1:]


ASKED: list[tuple[tuple[Any, ...], ...]] = [
    (("--suite", "shapes-64/clips", *SIZE, "--seeds", "3,1", "--shift", "2.5", "--guidance", "1.2345678"),),
    (("--suite", "folder", "--root", "shapes-64/clips", *SIZE, "--stride", "2", "--fit", "stretch", "--strength", "0.5"),),
    (("--suite", "shapes-64/clips/bus.mp4", *SIZE, "--prompt", "a 'b' \"c\"", "--dtype", "bfloat16", "--offload"),),
    (("--suite", "shapes", "--limit", "1", *SIZE), ("--suite", "shapes", "--cases", "camera*", "--seeds", "4", *SIZE)),
    (("--suite", "shapes", "--limit", "1", *SIZE, "--protocol", "matched-budget,timing", "--repeats", "2"),),
]  # fmt: skip


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: " ".join(asked[0][:4]))
def test_it_runs_as_it_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: tuple[tuple[Any, ...], ...]) -> None:
    monkeypatch.chdir(tmp_path)
    clips(tmp_path / "shapes-64" / "clips")
    for words in asked:
        said = bench("run", *words, *QUICK, "--out", tmp_path / "r")
        assert said.code == 0, said.err
    words = again(tmp_path / "r")
    said = bench(*words, "--out", tmp_path / "again", "--no-reuse", "--json")
    assert said.code == 0 and said.data["outcome"]["made"], said.err
    assert keys(tmp_path / "again") == keys(tmp_path / "r") and again(tmp_path / "again") == words
    assert Store(tmp_path / "again").config().threads == 1
    fastvmt.merge([tmp_path / "r", tmp_path / "again"], tmp_path / "merged", plugins=[str(PLUGIN)], prefer=["r"])
    assert str(tmp_path) not in (tmp_path / "merged" / "config.json").read_text()
    if "shapes" in words:
        assert again(tmp_path / "merged") == words


@pytest.mark.parametrize(
    "words",
    [
        ("ablate", "fastvmt", "--factors", "window,preset", "--no-ladder"),
        ("frontier", "fastvmt", "--over", "inner=4", "--over", "block,rope"),
    ],
)
def test_a_command_that_names_its_own_rows_is_planned_as_printed(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked: list[Any] = []

    def stop(request: Any, out: Any, options: Any) -> None:
        asked.append(request)
        raise SpecError("planned")

    monkeypatch.setattr("fastvmt.api.run", stop)
    assert bench(*words, "--with", "ditflow", "--limit", "1").code == 2
    config = resolved(asked[0])
    run = make_run(tmp_path / "r", config.suite.cases, config.methods, setting=config.setting, metrics=("time",), videos=False)
    text = json.loads((run / "config.json").read_text()) | {
        "asked": config.asked.model_dump(),
        "ablates_presets": config.ablates_presets,
        "device": "cpu",
    }
    (run / "config.json").write_text(json.dumps(text))
    printed = again(run)
    assert printed[: len(words)] == list(words)
    bench(*printed)
    assert {m.label for m in resolved(asked[1]).methods} == {m.label for m in config.methods}


def resolved(request: Any) -> Any:
    from fastvmt.runner.plan import resolve

    return resolve(request).config
