"""Stands in for VBench's worker: answers by the protocol, or misbehaves as the environment variable STUB says."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

mode, mark = os.environ.get("STUB", "ok"), Path(os.environ.get("STUB_MARK", "/nonexistent"))
print("a library prints what nobody asked for", flush=True)
for line in sys.stdin:
    request = json.loads(line)
    if mode == "hangs":
        time.sleep(60)
    if mode == "dies" or (mode == "dies once" and not mark.exists()):
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    reply = {"id": request["id"], "value": 0.25, "pid": os.getpid(), "clip": Path(request["video"]).is_file()}
    if mode == "fails":
        reply = {"id": request["id"], "error": "RuntimeError: its own words"}
    print(json.dumps({"id": -1, "value": 9.0}), json.dumps(reply), sep="\n", flush=True)
shutil.rmtree(sys.argv[1], ignore_errors=True)
