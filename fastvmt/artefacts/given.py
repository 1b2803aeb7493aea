"""Storing frames that no method of ours made: somebody else's videos, and references as the ceiling of a table."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from fastvmt.core.content_address import digest, frames_digest
from fastvmt.media.files import Frames, write_lossless, write_viewable
from fastvmt.model import Artefact, Case, Job
from fastvmt.store import layout
from fastvmt.store.artefact_files import file_info
from fastvmt.store.folder import Store


def publish_given(store: Store, job: Job, case: Case, frames: Frames, origin: str, log: dict[str, Any]) -> Artefact:
    """Store frames (T, H, W, 3) as a job's video, without seconds or work of it.

    Args:
        origin: what ``reused_from`` says: ``IMPORTED`` or ``REFERENCE``.
        log: what is known of them.
    """
    fps = Fraction(case.reference.fps_num, case.reference.fps_den)
    folder = store.new_folder()
    write_lossless(folder / layout.FRAMES, frames, fps)
    write_viewable(folder / layout.VIDEO, frames, fps)
    artefact = Artefact(
        key=job.key, frames_digest=frames_digest(frames), width=frames.shape[2], height=frames.shape[1], frames=len(frames),
        fps_num=fps.numerator, fps_den=fps.denominator, files={p.name: file_info(p) for p in sorted(folder.iterdir())},
        stages={}, peak_memory_bytes=0, forward_equivalents=0.0, device="elsewhere", software={},
        timing_key=digest([job.key, origin]), reused_from=origin, log=log,
    )  # fmt: skip
    store.publish(folder, job, artefact)
    return artefact
