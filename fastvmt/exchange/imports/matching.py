"""Which file is the video of which case and seed: by name in a folder, or by a CSV file.

A name is a case's id, or a clip's name where the clip has one prompt.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from fastvmt.core.choices import hint
from fastvmt.core.spelling import mib, shown
from fastvmt.media.files import VIDEO_SUFFIXES
from fastvmt.model import Case
from fastvmt.suites.cases import Problems, inside

VideoFiles = dict[tuple[str, int], Path]
"""Case id and seed to a video file or a folder of images."""
LARGEST_CSV = 64 << 20
HEADS = {"case", "seed", "file"}


def match(videos: Path, cases: Sequence[Case], seeds: Sequence[int], problems: list[str]) -> VideoFiles:
    """Files of a folder, or those that a CSV file names.

    Args:
        problems: takes a sentence for every file without a case, and every one that is there twice.
    """
    found: VideoFiles = {}
    wanted = {c.id: c for c in cases}
    if not videos.exists():
        problems.append(f"{videos}: there is no such folder or CSV file.")
        return found
    source = _listed(videos, problems) if videos.is_file() else _named(videos, wanted, seeds, problems)
    clips = _by_clip(cases)
    for where, name, seed, path in source:
        of_clip = clips.get(name, []) if name not in wanted else []
        case = of_clip[0] if len(of_clip) == 1 else name
        if len(of_clip) > 1:
            problems.append(f"{where}: the clip '{shown(name, 80)}' has {len(of_clip)} prompts; say which: {_some(of_clip)}.")
        elif case not in wanted:
            problems.append(f"{where}: the suite has no case '{shown(case, 80)}'. {hint(case, wanted)}")
        elif seed is None and len(seeds) > 1:
            problems.append(
                f"{where}: which seed? The run has {', '.join(map(str, seeds))}; say it (CASE--s0, or column seed)."
            )
        elif (at := seeds[0] if seed is None else seed) not in seeds:
            problems.append(f"{where}: seed {at} is none of the run's ({', '.join(map(str, seeds))}). Give --seeds.")
        elif (case, at) in found:
            problems.append(f"{where}: '{found[case, at].name}' is case '{case}' seed {at} already. Keep one of them.")
        else:
            found[case, at] = path
    return found


def _by_clip(cases: Sequence[Case]) -> dict[str, list[str]]:
    """Ids of a clip's cases by its name, as the suite and as its file has it."""
    found: dict[str, list[str]] = {}
    for case in cases:
        source = case.reference.source
        for name in {case.id.rpartition("--")[0], source, Path(source).stem} - {""}:
            found.setdefault(name, []).append(case.id)
    return found


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")


def _named(
    folder: Path, wanted: dict[str, Case], seeds: Sequence[int], problems: list[str]
) -> Iterator[tuple[str, str, int | None, Path]]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not (path.is_dir() or path.suffix.lower() in VIDEO_SUFFIXES or path.is_symlink()):
            continue
        with Problems(problems).caught():
            inside(folder, path.name)
            name = path.name if path.is_dir() else path.stem
            case, mark, number = name.rpartition("--s")
            if name not in wanted and mark and number.isdecimal() and len(number) < 10:
                yield shown(path.name, 120), case, int(number), path
            else:
                yield shown(path.name, 120), name, None, path


def _listed(file: Path, problems: list[str]) -> Iterator[tuple[str, str, int | None, Path]]:
    try:
        if file.stat().st_size > LARGEST_CSV:
            raise ValueError(f"larger than {mib(LARGEST_CSV)}")
        rows = list(csv.DictReader(file.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, ValueError, csv.Error) as error:
        problems.append(f"{file}: not a readable CSV file ({str(error).splitlines()[0]}). Give a folder, or a CSV file.")
        return
    heads = set(rows[0]) if rows else set()
    if not rows or heads - HEADS or {"case", "file"} - heads:
        named = ", ".join(sorted(shown(str(h)) for h in heads)) or "nothing"
        problems.append(f"{file}: a CSV file with the columns case, file and perhaps seed is needed; it has {named}.")
        return
    for number, row in enumerate(rows, start=2):
        where = f"{file.name} line {number}"
        seed = (row.get("seed") or "").strip()
        if seed and not (seed.isdecimal() and len(seed) < 10):
            problems.append(f"{where}: seed '{shown(seed)}' is no number.")
            continue
        with Problems(problems).caught(f"{where}: "):
            path = inside(file.resolve().parent, (row["file"] or "").strip())
            yield where, (row["case"] or "").strip(), int(seed) if seed else None, path
