"""Reference clips of a worker, decoded once: many jobs of a run are judged against the same few."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

from fastvmt.media.files import Frames
from fastvmt.model import Reference
from fastvmt.store.folder import Store

MOST_BYTES = 256 << 20
"""Of decoded clips that a process keeps: the last ones asked for; a larger one is decoded each time."""
_File = tuple[str, str, int, int]


class References:
    """Decoded clips by file and digest. A file that was changed since is read, and judged, again."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self.most, self.held = most, 0
        self._kept: OrderedDict[_File, Frames] = OrderedDict()
        self._lock = Lock()

    def of(self, store: Store, known: Reference) -> Frames:
        """A reference's frames, uint8 RGB (T, H, W, 3), read-only.

        Raises:
            JobError: as ``Store.reference``.
        """
        with self._lock:
            try:
                at = store.reference_path(known.frames_digest).stat()
            except OSError:
                return store.reference(known)  # which says what is wrong
            key = (str(store.root), known.frames_digest, at.st_mtime_ns, at.st_size)
            if key not in self._kept:
                frames = store.reference(known)
                frames.setflags(write=False)
                self._kept[key] = frames
                self.held += frames.nbytes
            self._kept.move_to_end(key)
            found = self._kept[key]
            while self.held > self.most:
                self.held -= self._kept.popitem(last=False)[1].nbytes
            return found


REFERENCES = References()
"""Those of this process."""
