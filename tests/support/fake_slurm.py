#!/usr/bin/env python3
"""SLURM's programs, as far as submitit calls them, for one machine: linked as sbatch, srun, sacct, scontrol and scancel.

Tasks are real processes. The queue is a folder, ``$FAKE_SLURM``; ``scontrol requeue`` starts a task's script again.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

PLACE = Path(os.environ.get("FAKE_SLURM", "."))


def become(state: Path, word: str) -> None:
    """Whole at every moment: who reads an empty state takes the task for ended."""
    part = state.with_suffix(f".{os.getpid()}")
    part.write_text(word)
    part.replace(state)


def start(job: str, task: str, script: str) -> None:
    environ = os.environ | {"SLURM_JOB_ID": job, "SLURM_NTASKS": "1", "SLURM_PROCID": "0", "SLURM_JOB_NUM_NODES": "1"}
    if task:
        environ |= {"SLURM_ARRAY_JOB_ID": job, "SLURM_ARRAY_TASK_ID": task}
    state, mine = PLACE / f"{job}_{task}.state", PLACE / f"{job}_{task}.{uuid4().hex}"
    code = (  # one that was put into the queue again has no state of its own any more: what ends later says nothing
        f"bash {script} && word=COMPLETED || word=FAILED; "
        f"[ -e {mine} ] && echo $word > {mine}.word && mv {mine}.word {state} && rm {mine}"
    )
    for earlier in PLACE.glob(f"{job}_{task}.{'[0-9a-f]' * 32}"):
        earlier.unlink()
    mine.touch()
    become(state, "RUNNING")
    with open(PLACE / "log", "ab") as log:
        process = subprocess.Popen(
            ["bash", "-c", code], env=environ, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )
    (PLACE / f"{job}_{task}.pid").write_text(str(process.pid))


def sbatch(script: str) -> None:
    text = Path(script).read_text()
    job = str(100 + len(list(PLACE.glob("*.script"))))
    (PLACE / f"{job}.script").write_text(text)
    array = re.search(r"--array=0-(\d+)", text)
    for task in range(int(array[1]) + 1) if array else [""]:
        start(job, str(task), str(PLACE / f"{job}.script"))
    print(f"Submitted batch job {job}")


def srun(*given: str) -> None:
    args = list(given)
    while args and args[0].startswith("-"):
        name = args.pop(0)
        if name in ("--output", "--error"):
            path = args.pop(0).replace("%j", os.environ["SLURM_JOB_ID"]).replace("%A", os.environ.get("SLURM_ARRAY_JOB_ID", ""))
            path = path.replace("%a", os.environ.get("SLURM_ARRAY_TASK_ID", "")).replace("%t", "0")
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666), 1 if name == "--output" else 2)
    os.execvp(args[0], args)


def sacct(*given: str) -> None:
    print("JobID|State|NodeList")
    for path in sorted(PLACE.glob("*.state")):
        print(f"{path.stem.rstrip('_')}|{path.read_text().strip()}|here")


def scontrol(word: str, job: str) -> None:
    with open(PLACE / "requeued", "a") as file:
        file.write(job + "\n")
    head, _, task = job.partition("_")
    start(head, task, str(PLACE / f"{head}.script"))


def scancel(job: str, *given: str) -> None:
    for path in PLACE.glob(f"{job.partition('_')[0]}_*.pid"):
        os.killpg(int(path.read_text()), signal.SIGKILL)


if __name__ == "__main__":
    globals()[Path(sys.argv[0]).name](*sys.argv[1:])
