"""Frames as Parquet: the numbers of a run, and its videos, one row each."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from fastvmt.core.disk.atomic import write_atomic
from fastvmt.errors import SpecError
from fastvmt.reports.tidy import TEXTS, Tidy, Video, videos_of

if TYPE_CHECKING:
    import pandas as pd

NUMBERS, VIDEOS = "frame.parquet", "videos.parquet"


def video_frame(videos: list[Video]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame([v.row() for v in videos])


def plain_numbers(tidy: Tidy) -> pd.DataFrame:
    """The tidy frame with plain text columns, as readers without pandas want them."""
    return tidy.frame.astype(dict.fromkeys(TEXTS, object))


def to_parquet(frame: pd.DataFrame, path: Path, option: str) -> Path:
    """Write one file, whole or not at all.

    Args:
        option: how the user asked for it, for the message.

    Raises:
        SpecError: without pyarrow, with the command that installs it.
    """
    made = BytesIO()
    try:
        frame.to_parquet(made, index=False)
    except ImportError:
        raise SpecError(f"{option} needs pyarrow; install it with: pip install 'fastvmt-bench[parquet]'.") from None
    write_atomic(path, made.getvalue())
    return path


def write(tidy: Tidy, out: Path) -> list[Path]:
    """``frame.parquet`` (a row for every number) and ``videos.parquet`` (a row for every video)."""
    return [
        to_parquet(tidy.frame, out / NUMBERS, "--to parquet"),
        to_parquet(video_frame(videos_of(tidy)), out / VIDEOS, "--to parquet"),
    ]
