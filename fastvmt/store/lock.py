"""One process at a time: the lock of a run folder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from fastvmt.core.disk.atomic import own_file
from fastvmt.core.spelling import shown
from fastvmt.errors import StoreError
from fastvmt.store import layout


def hold(root: Path) -> IO[str]:
    """Lock a run folder until the file is closed or the process ends, however it ends.

    Raises:
        StoreError: when another process holds it, or its file system has no locks.
    """
    handle = open(root / layout.LOCK, "a+", opener=own_file)  # noqa: SIM115 - held for the life of the process
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.seek(0)
        owner = shown(handle.read(200).strip() or "another process", 80)
        handle.close()
        raise StoreError(f"{root} is in use by {owner}. Wait for it, or give another --out.") from None
    except OSError as error:
        handle.close()
        raise StoreError(f"{root}: its file system has no locks ({error.strerror}). Give --out on another one.") from None
    handle.truncate(0)
    handle.write(f"process {os.getpid()}")
    handle.flush()
    return handle
