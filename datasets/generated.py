"""Videos that some model made, in one folder: references of known origin, with their prompts as captions.

Where the prompts come from:

- a file in the folder: ``prompts.json`` ({file name: prompt}), ``prompts.jsonl`` or ``prompts.csv`` (file, prompt);
- else the names, as VBench writes them: ``<prompt>-<n>.mp4``; samples -0 and -1 of one prompt are two clips.

The target prompts are another file (``--prompts``): a .txt whose lines apply to every clip, or .jsonl or .csv with a clip
named by file name, by file name without suffix, or by id. Prompts name no files of ours: ``clip_ids`` makes short ids.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from pydantic import BaseModel

from fastvmt.datasets.prompt_lists import ClipPrompts, clip_ids, read_targets
from fastvmt.errors import SuiteError
from fastvmt.media.files import VIDEO_SUFFIXES, list_videos
from fastvmt.suites.cases import ClipEntry, Problems, Wanted
from fastvmt.suites.prompts import nfc
from fastvmt.suites.rows import Prompt, Rows, checked, read_csv, read_jsonl, read_text, shortened

CAPTION_FILES = ("prompts.json", "prompts.jsonl", "prompts.csv")
SAMPLE = re.compile(r"(?P<prompt>.*\S)\s*-(?P<number>\d+)")


class _Caption(BaseModel):
    file: str
    prompt: Prompt


class Generated:
    """Clips by file name, in the order of their names.

    Captions are read from prompts.json, prompts.jsonl or prompts.csv in the folder, else from names such as
    "A cat runs-0.mp4"; target prompts from --prompts: a .txt whose lines apply to every clip, or .jsonl or .csv by clip.
    """

    name = "generated"
    summary = "videos made by any model, in a folder of yours (VBench's file names, or a prompt file), with your target prompts"
    size = "that of your folder; nothing is fetched"
    licence = "that which the model's licence gives its output; look it up where the model is from"
    how = (
        "put the videos of any model into a folder, and pass --root FOLDER and --prompts FILE with the target prompts; "
        "`bench suite generate PROMPTS --out FOLDER` makes videos, and a suite of them to be run with --suite FOLDER"
    )

    def entries(self, wanted: Wanted) -> list[ClipEntry]:
        """Clips with caption and targets; no video is opened.

        Raises:
            SuiteError: all problems in one message, a line each.
        """
        problems = Problems()
        if wanted.prompts is None:
            problems.add(f"{self.name}: the target prompts are missing. Pass --prompts FILE (.txt, .jsonl or .csv).")
        if wanted.root is None:
            problems.add(f"{self.name}: no folder of videos was named. Pass --root FOLDER.")
            problems.raise_if_any()
        found: list[ClipEntry] = []
        with problems.caught():
            found = self._entries(wanted.root or Path(), wanted.prompts, problems)
        problems.raise_if_any()
        return found

    def _entries(self, root: Path, prompts: Path | None, problems: Problems) -> list[ClipEntry]:
        files = _videos(root)
        targets: dict[str, ClipPrompts] = {}
        with problems.caught():
            targets = _targets(prompts, files, problems) if prompts else {}
        captions = _captions(root, files, prompts, problems)
        of = {name: targets.get(name, ClipPrompts()) for name in files}
        return [
            ClipEntry(i, name, root / name, of[name].targets, captions.get(name, ""), of[name].category, self.licence)
            for name, i in _ids(files).items()
        ]


def _videos(root: Path) -> list[str]:
    """Names of the videos directly in the folder.

    Raises:
        SuiteError: when there are none.
    """
    if not root.is_dir():
        raise SuiteError(f"Folder of generated videos '{root}' does not exist. Correct --root.")
    files = list_videos(root)
    if not files:
        looked = ", ".join("*" + s for s in VIDEO_SUFFIXES)
        near = next((p for p in sorted(root.iterdir()) if p.is_dir() and list_videos(p)), None)
        hint = f"'{near}' has some: pass it." if near else "Pass --root FOLDER of another."
        raise SuiteError(f"Suite '{root}' has no clips (looked for {looked}). {hint}")
    return [p.name for p in files]


def _ids(files: list[str]) -> dict[str, str]:
    """Ids by file name: from the name without suffix, with it where two files differ in nothing else."""
    stems = [Path(f).stem for f in files]
    called = {f: s if stems.count(s) == 1 else f for f, s in zip(files, stems, strict=True)}
    ids = clip_ids(called.values())
    return {f: ids[c] for f, c in called.items()}


def _captions(root: Path, files: list[str], targets: Path | None, problems: Problems) -> dict[str, str]:
    theirs = targets.resolve() if targets else None
    there = [root / n for n in CAPTION_FILES if (root / n).is_file() and (root / n).resolve() != theirs]
    if len(there) > 1:
        raise SuiteError(f"'{root}' has {there[0].name} and {there[1].name}: which says what the clips show? Take one out.")
    return _from_file(there[0], files, problems) if there else _from_names(files, problems)


def _from_names(files: list[str], problems: Problems) -> dict[str, str]:
    found = {}
    for name in files:
        match = SAMPLE.fullmatch(Path(name).stem)
        if match:
            found[name] = match.group("prompt").strip()
        else:
            problems.add(
                f"{shortened(name)}: its prompt is unknown, because the name is not '<prompt>-<number>'. Add prompts.json "
                "{file name: prompt} to the folder."
            )
    return found


def _rows(path: Path, problems: Problems) -> Rows:
    if path.suffix == ".jsonl":
        return read_jsonl(path, problems)
    if path.suffix == ".csv":
        return read_csv(path, ("file", "prompt"), problems)
    try:
        pairs = json.loads(read_text(path), object_pairs_hook=list)
    except json.JSONDecodeError as error:
        raise SuiteError(f"{path.name} line {error.lineno}, column {error.colno}: {error.msg}. Correct it.") from None
    except RecursionError:
        raise SuiteError(f"{path.name}: nested too deeply. It has to be one object {{file name: prompt}}.") from None
    except ValueError as error:
        raise SuiteError(f"{path.name}: {shortened(str(error))}. Correct it.") from None
    if not isinstance(pairs, list) or not all(isinstance(pair, tuple) for pair in pairs):
        raise SuiteError(f"{path.name}: it is not one object {{file name: prompt}}. Write it so.")
    return [(f"'{shortened(file)}'", {"file": file, "prompt": prompt}) for file, prompt in pairs]


def _from_file(path: Path, files: list[str], problems: Problems) -> dict[str, str]:
    known = {nfc(name): name for name in files}
    found: dict[str, str] = {}
    for place, row in _rows(path, problems):
        place = f"{path.name} {place}"
        if (said := checked(_Caption, row, place, problems)) is None:
            continue
        name = known.get(nfc(re.split(r"[/\\]", said.file)[-1]))
        if name is None:
            problems.add(f"{place}: '{shortened(said.file)}' is not in the folder. Correct or take out the line.")
        elif name in found:
            problems.add(f"{place}: '{shortened(name)}' is there twice. Take one line out.")
        else:
            found[name] = said.prompt.strip()
    for name in files:
        if name not in found and not problems.found:
            problems.add(f"{shortened(name)}: {path.name} has no prompt for it. Add one, or take the clip out.")
    return found


def _targets(path: Path, files: list[str], problems: Problems) -> dict[str, ClipPrompts]:
    """Targets by file name; a name without suffix serves where only one file has it."""
    stems = [Path(f).stem for f in files]
    called = {i: f for f, i in _ids(files).items()}
    called |= {nfc(s): f for f, s in zip(files, stems, strict=True) if stems.count(s) == 1}
    called |= {nfc(f): f for f in files}
    found = read_targets(path, called, problems)
    for name in files:
        if name not in found or not found[name].targets:
            problems.add(f"{shortened(name)}: {path.name} has no target prompt for it. Add one, or take the clip out.")
    return found
