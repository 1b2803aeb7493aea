"""Runs inside VBench's own environment: requests as JSON lines on stdin, replies as JSON lines on the pipe that was stdout.

``python vbench_worker.py FOLDER``. FOLDER is for passing clips; it is removed when stdin ends, and so does the process. Imports
the standard library alone until the first request. A request names a dimension, a clip, a device, the weight files by their
place in VBench's cache, and the digest of the clip's frames; the reply holds one number on the scale 0 to 1, or an error.
VBench's functions for one dimension are called, with weights loaded here, so nothing is ever fetched.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import queue
import shutil
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

Files = tuple[tuple[str, str], ...]
"""Place in VBench's cache, and path; pairs, because they are a key of what was loaded."""


class FrameError(Exception):
    """The clip does not decode to the frames it was made from."""


def digest_of(frames: Any) -> str:
    """SHA-256 of uint8 RGB frames (T, H, W, 3): the shape as JSON, then the bytes."""
    text = json.dumps(list(frames.shape), separators=(",", ":"))
    hasher = hashlib.sha256(text.encode())
    hasher.update(frames.tobytes())
    return hasher.hexdigest()


@functools.lru_cache(maxsize=2)
def check_frames(video: str, wanted: str) -> None:
    """Decode with both readers that VBench uses.

    Raises:
        FrameError: when either gives other frames.
    """
    import cv2
    import numpy as np

    from vbench.utils import load_video

    by_decord = load_video(video, return_tensor=False)
    by_cv2, reader = [], cv2.VideoCapture(video)
    while (got := reader.read())[0]:
        by_cv2.append(got[1][:, :, ::-1])
    reader.release()
    for name, frames in (("decord", by_decord), ("cv2", np.array(by_cv2, np.uint8))):
        if digest_of(np.ascontiguousarray(frames)) != wanted:
            raise FrameError(f"{name} decodes other frames from the clip than were written to it")


def _path(files: Files, end: str) -> str:
    return next(path for name, path in files if name.endswith(end))


@functools.cache
def dino(files: Files, device: str) -> Any:
    import torch

    # VBench lets the repository load its weights from torch.hub's folder; loading them here leaves no doubt which were used.
    repository = str(Path(_path(files, "hubconf.py")).parent)
    model = torch.hub.load(repository, "dino_vitb16", source="local", pretrained=False)
    model.load_state_dict(torch.load(_path(files, "pretrain.pth"), map_location="cpu", weights_only=True))
    return model.to(device).eval()


@functools.cache
def openai_clip(path: str, device: str) -> Any:
    import clip

    return clip.load(path, device=device)


def subject_consistency(video: str, files: Files, device: str) -> float:
    from vbench.subject_consistency import subject_consistency as measure

    return _one(measure(dino(files, device), [video], device, False))


def background_consistency(video: str, files: Files, device: str) -> float:
    from vbench.background_consistency import background_consistency as measure

    model, preprocess = openai_clip(_path(files, ".pt"), device)
    return _one(measure(model, preprocess, [video], device, False))


@functools.cache
def head(folder: str, device: str) -> Any:
    from vbench.aesthetic_quality import get_aesthetic_model

    return get_aesthetic_model(folder).to(device)


def aesthetic_quality(video: str, files: Files, device: str) -> float:
    from vbench.aesthetic_quality import laion_aesthetic as measure

    model = openai_clip(_path(files, ".pt"), device)[0]
    return _one(measure(head(str(Path(_path(files, "linear.pth")).parent), device), model, [video], device))


@functools.cache
def musiq(files: Files, device: str) -> Any:
    from vbench.imaging_quality import MUSIQ

    model = MUSIQ(pretrained_model_path=_path(files, ".pth")).to(device)
    model.training = False  # as VBench sets it
    return model


def imaging_quality(video: str, files: Files, device: str) -> float:
    from vbench.imaging_quality import technical_quality as measure

    return _one(measure(musiq(files, device), [video], device)) / 100  # per video VBench keeps MUSIQ's scale of 0 to 100


@functools.cache
def amt(files: Files, device: str) -> Any:
    import vbench
    from vbench.motion_smoothness import MotionSmoothness

    config = Path(vbench.__file__).parent / "third_party" / "amt" / "cfgs" / "AMT-S.yaml"
    motion = MotionSmoothness(str(config), _path(files, ".pth"), device)
    # On the string "cuda" frames would be shrunk to fit the card's memory; these are the package's own values for the CPU.
    motion.anchor_resolution, motion.anchor_memory, motion.anchor_memory_bias, motion.vram_avail = 8192 * 8192, 1, 0, 1
    return motion


def motion_smoothness(video: str, files: Files, device: str) -> float:
    from vbench.motion_smoothness import motion_smoothness as measure

    return _one(measure(amt(files, device), [video]))


@functools.cache
def raft(files: Files, device: str) -> Any:
    from easydict import EasyDict

    from vbench.dynamic_degree import DynamicDegree

    options = {"model": _path(files, ".pth"), "small": False, "mixed_precision": False, "alternate_corr": False}
    return DynamicDegree(EasyDict(options), device)


def dynamic_degree(video: str, files: Files, device: str) -> float:
    from vbench.dynamic_degree import dynamic_degree as measure

    return _one(measure(raft(files, device), [video]))


def temporal_flickering(video: str, files: Files, device: str) -> float:
    from vbench.temporal_flickering import temporal_flickering as measure

    return _one(measure([video]))


def _one(result: tuple[Any, list[dict[str, Any]]]) -> float:
    """The one video's value; VBench's own aggregate is not used."""
    return float(result[1][0]["video_results"])


MEASURES: dict[str, Callable[[str, Files, str], float]] = {
    f.__name__: f
    for f in (
        subject_consistency, background_consistency, aesthetic_quality, imaging_quality, motion_smoothness, dynamic_degree,
        temporal_flickering,
    )
}  # fmt: skip


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The reply to one request; whatever goes wrong is in it."""
    try:
        files: Files = tuple(sorted(request["files"].items()))
        absent = [path for _, path in files if not Path(path).is_file()]
        if absent:
            return {"id": request["id"], "error": f"{absent[0]} is not there"}
        import torch

        with torch.no_grad():
            check_frames(request["video"], request["frames"])
            value = MEASURES[request["dimension"]](request["video"], files, request["device"])
        return {"id": request["id"], "value": value}
    except Exception as error:  # noqa: BLE001 - becomes one failed record, with its cause
        traceback.print_exc()
        text = str(error) if isinstance(error, FrameError) else f"{type(error).__name__}: {error}"
        return {"id": request["id"], "error": text}


def main() -> None:
    folder = sys.argv[1]
    replies = os.dup(1)  # libraries print: what they print goes to stderr
    os.dup2(2, 1)
    requests: queue.Queue[str] = queue.Queue()

    def read() -> None:
        for line in sys.stdin:
            requests.put(line)
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)  # whoever asked is gone; nobody waits for what still runs

    threading.Thread(target=read, daemon=True).start()
    while True:
        reply = answer(json.loads(requests.get()))
        os.write(replies, (json.dumps(reply) + "\n").encode())


if __name__ == "__main__":
    main()
