"""Runs inside VBench's own environment: requests as JSON lines on stdin, replies as JSON lines on the pipe that was stdout.

``python vbench_worker.py FOLDER``. FOLDER is for passing clips; it is removed when stdin ends, and so does the process. Imports
the standard library alone until the first request. A request names a dimension, a clip, a device, the weight files by their
place in VBench's cache, and the digest of the clip's frames; the reply holds one number on the scale 0 to 1, or an error.
VBench's functions for one dimension are called, with weights loaded here, so nothing is ever fetched.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
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


@functools.cache
def head(folder: str, device: str) -> Any:
    from vbench.aesthetic_quality import get_aesthetic_model

    return get_aesthetic_model(folder).to(device)


@functools.cache
def musiq(files: Files, device: str) -> Any:
    from vbench.imaging_quality import MUSIQ

    model = MUSIQ(pretrained_model_path=_path(files, ".pth")).to(device)
    model.training = False  # as VBench sets it
    return model


@functools.cache
def amt(files: Files, device: str) -> Any:
    import vbench
    from vbench.motion_smoothness import MotionSmoothness

    config = Path(vbench.__file__).parent / "third_party" / "amt" / "cfgs" / "AMT-S.yaml"
    motion = MotionSmoothness(str(config), _path(files, ".pth"), device)
    # On the string "cuda" frames would be shrunk to fit the card's memory; these are the package's own values for the CPU.
    motion.anchor_resolution, motion.anchor_memory, motion.anchor_memory_bias, motion.vram_avail = 8192 * 8192, 1, 0, 1
    return motion


@functools.cache
def raft(files: Files, device: str) -> Any:
    from easydict import EasyDict

    from vbench.dynamic_degree import DynamicDegree

    options = {"model": _path(files, ".pth"), "small": False, "mixed_precision": False, "alternate_corr": False}
    return DynamicDegree(EasyDict(options), device)


def _judges(files: Files, device: str) -> tuple[Any, Any]:
    return head(str(Path(_path(files, "linear.pth")).parent), device), openai_clip(_path(files, ".pt"), device)[0]


Arguments = tuple[Any, ...]
DIMENSIONS: dict[str, tuple[str, Callable[[Files, str], Arguments], Callable[[str], Arguments]]] = {
    "subject_consistency": ("subject_consistency", lambda f, d: (dino(f, d),), lambda d: (d, False)),
    "background_consistency": (
        "background_consistency", lambda f, d: openai_clip(_path(f, ".pt"), d), lambda d: (d, False),
    ),
    "aesthetic_quality": ("laion_aesthetic", _judges, lambda d: (d,)),
    "imaging_quality": ("technical_quality", lambda f, d: (musiq(f, d),), lambda d: (d,)),
    "motion_smoothness": ("motion_smoothness", lambda f, d: (amt(f, d),), lambda d: ()),
    "dynamic_degree": ("dynamic_degree", lambda f, d: (raft(f, d),), lambda d: ()),
    "temporal_flickering": ("temporal_flickering", lambda f, d: (), lambda d: ()),
}  # fmt: skip
"""By module of the package: its function, what it takes before the list of clips, and behind it."""


def value_of(dimension: str, video: str, files: Files, device: str) -> float:
    """The one video's value on the scale 0 to 1; VBench's own aggregate is not used."""
    function, before, behind = DIMENSIONS[dimension]
    measure = getattr(importlib.import_module(f"vbench.{dimension}"), function)
    value = float(measure(*before(files, device), [video], *behind(device))[1][0]["video_results"])
    return value / 100 if dimension == "imaging_quality" else value  # per video VBench keeps MUSIQ's scale of 0 to 100


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
            value = value_of(request["dimension"], request["video"], files, request["device"])
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
