"""A picture of a run: per case one band, the reference above every method, frames from left to right."""

from __future__ import annotations

import textwrap
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fastvmt.core.disk.atomic import write_atomic
from fastvmt.errors import DamagedFile
from fastvmt.jobs.run_config import RunConfig
from fastvmt.media.files import read_lossless
from fastvmt.store.folder import Store
from fastvmt.store.layout import FRAMES

COLUMNS, TILE, LABEL, GAP, MAX_CASES = 9, 96, 190, 6, 12


def write_sheet(store: Store, config: RunConfig, path: Path) -> Path:
    """Draw up to ``MAX_CASES`` cases of the first seed to a PNG and return its path."""
    bands = []
    jobs = {(j.case_id, j.method.label): j for j in config.jobs() if j.seed == config.seeds[0]}
    for case in config.suite.cases[:MAX_CASES]:
        known = case.reference
        clips = {f"reference: {case.caption or case.id}": (store.reference_path(known.frames_digest), known.shape)}
        for job in (jobs[case.id, m.label] for m in config.methods if not m.ceiling):
            if video := store.artefact(job):
                clips[job.method.label] = (store.folder(job) / FRAMES, video.shape)
        rows = [_row(label, *clip) for label, clip in clips.items() if clip[0].exists()]
        if not rows:
            continue
        bands.append(_title(f"{case.id}   prompt: {case.prompt}", rows[0].width))
        bands += rows
    width, height = max((b.width for b in bands), default=1), max(1, sum(b.height for b in bands))
    sheet = Image.new("RGB", (width, height), "white")
    top = 0
    for band in bands:
        sheet.paste(band, (0, top))
        top += band.height
    made = BytesIO()
    sheet.save(made, format="PNG")
    write_atomic(path, made.getvalue())
    return path


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(12)


def _title(text: str, width: int) -> Image.Image:
    band = Image.new("RGB", (width, 24), "#e8e8e8")
    ImageDraw.Draw(band).text((6, 5), " ".join(text.split())[:160], fill="black", font=_font())
    return band


def _row(label: str, clip: Path, shape: tuple[int, int, int]) -> Image.Image:
    try:
        frames = read_lossless(clip, shape)
    except DamagedFile:  # said by whoever needs its numbers; the other rows are worth looking at
        return _title(f"{label}   cannot be read", LABEL + COLUMNS * (TILE + GAP))
    picks = np.linspace(0, len(frames) - 1, COLUMNS).round().astype(int)
    height = round(TILE * frames.shape[1] / frames.shape[2])
    band = Image.new("RGB", (LABEL + COLUMNS * (TILE + GAP), height + GAP), "white")
    draw = ImageDraw.Draw(band)
    draw.multiline_text((6, 4), textwrap.fill(label, LABEL // 7), fill="black", font=_font())
    how = Image.Resampling.NEAREST if frames.shape[2] < TILE else Image.Resampling.BOX
    for n, index in enumerate(picks):
        band.paste(Image.fromarray(frames[index]).resize((TILE, height), how), (LABEL + n * (TILE + GAP), 0))
    return band
