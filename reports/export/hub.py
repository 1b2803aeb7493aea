"""The layout of a Hugging Face dataset: a card with YAML header, Parquet files, videos with metadata.

    README.md              card: configs, features, the table; the licence is for the user to state
    data/numbers.parquet   a row for every number (config ``numbers``, the default)
    data/videos.parquet    a row for every video (config ``videos``)
    videos/                the videos and metadata.jsonl, read as a ``videofolder``

Reference clips are not in it: they belong to whoever made them; their digests are.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from fastvmt.core.disk.atomic import bring_file, write_atomic
from fastvmt.jobs.numbering import slug
from fastvmt.reports.export.parquet import plain_numbers, to_parquet, video_frame
from fastvmt.reports.tables.grid import clean
from fastvmt.reports.tables.render import markdown
from fastvmt.reports.tables.run_table import first_table
from fastvmt.reports.tidy import Tidy, Video, videos_of
from fastvmt.store.layout import FRAMES, VIDEO

if TYPE_CHECKING:
    import pandas as pd

SHOWN = (VIDEO, FRAMES)
"""Which file of a video is shown: the small one for the eye where there is one."""
DTYPES = {"b": "bool", "i": "int64", "f": "float64"}
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def write(tidy: Tidy, out: Path, with_videos: bool = True, repo: str = "") -> list[Path]:
    """Write the layout into an empty folder; the card comes first in what is returned. ``repo``: where it is to be found."""
    (out / "data").mkdir()
    videos = videos_of(tidy)
    frames = {"numbers": plain_numbers(tidy), "videos": video_frame(videos)}
    for name, frame in frames.items():
        to_parquet(frame, out / "data" / f"{name}.parquet", "--to hub")
    shown = _bring_videos(videos, out / "videos") if with_videos else 0
    write_atomic(out / "README.md", card(tidy, frames, shown, repo))
    return [out / "README.md", *(out / "data" / f"{name}.parquet" for name in frames), *([out / "videos"] if shown else [])]


def _bring_videos(videos: list[Video], folder: Path) -> int:
    folder.mkdir()
    lines = []
    for video in videos:
        source = next((n for n in SHOWN if video.artefact and n in video.artefact.files), None)
        if source is None:
            continue
        name = f"{video.case.id}--{slug(video.job.method.label)}--s{video.job.seed}--{video.job.key[:8]}{Path(source).suffix}"
        bring_file(video.run.folder(video.job) / source, folder / name, copy=True)
        lines.append(json.dumps({"file_name": name} | video.row(), ensure_ascii=True) + "\n")
    write_atomic(folder / "metadata.jsonl", "".join(lines))
    return len(lines)


def header(tidy: Tidy, frames: dict[str, pd.DataFrame]) -> str:
    """The card's YAML."""
    from huggingface_hub import DatasetCardData

    rows = len(frames["numbers"])
    facts = DatasetCardData(
        license="unknown", pretty_name=clean(f"Motion transfer on {tidy.suite.name}"),
        size_categories=[next((word for most, word in SIZES if rows < most), "n>1M")],
        tags=["video", "motion-transfer", "benchmark", "fastvmt-bench"],
        configs=[
            {"config_name": name, "data_files": f"data/{name}.parquet"} | ({"default": True} if name == "numbers" else {})
            for name in frames
        ],
        dataset_info=[{"config_name": name, "features": _features(frame)} for name, frame in frames.items()],
    )  # fmt: skip
    return str(facts.to_yaml())


def _features(frame: pd.DataFrame) -> list[dict[str, str]]:
    return [{"name": str(column), "dtype": DTYPES.get(kind.kind, "string")} for column, kind in frame.dtypes.items()]


def card(tidy: Tidy, frames: dict[str, pd.DataFrame], videos: int, repo: str = "") -> str:
    """README.md: YAML header, what it is, how it is loaded, the table with its notes."""
    setting = clean(tidy.title)
    several = ["", "Videos, with what is known about each:", "", "```python",
               'load_dataset("videofolder", data_dir="FOLDER/videos")', "```"] if videos else []  # fmt: skip
    parts = [
        "---", header(tidy, frames), "---", "", f"# Motion transfer on {_plain(clean(tidy.suite.name))}", "",
        f"Results of fastvmt-bench: {_plain(setting)}.", "",
        "`license: unknown` stands in the header until you state one; the reference clips are not part of this folder.", "",
        "```python", "from datasets import load_dataset", "",
        f'load_dataset("{repo or "FOLDER"}", "numbers")  # a row for every number, with the reason where there is none',
        f'load_dataset("{repo or "FOLDER"}", "videos")   # a row for every video: prompt, method, parameters, digest, device',
        "```", *several, "", "## Table", "", markdown(first_table(tidy)),
    ]  # fmt: skip
    return "\n".join(parts)


def _plain(text: str) -> str:
    """Without what Markdown or HTML would act on."""
    return "".join(c if c.isalnum() or c in " .,:;()+-_/%" else " " for c in text)
