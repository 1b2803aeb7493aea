"""How long all tables of a large run take, and how much memory: ``python benchmarks/tables.py [--records 100000]``.

Writes a run folder of drawn numbers (10 methods, 10 metrics, as many cases as make the records) to a temporary folder,
then gathers it and builds every table, the published ones beside it, in a fresh process. Printed: seconds, peak memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fastvmt.core.lazy import load_when_used

METHODS = ("none", "sdedit", "fastvmt", "fastvmt:no-window", "fastvmt:no-window-loss", "fastvmt:no-step-skip", "fastvmt:span=3",
           "fastvmt:span=7", "fastvmt:block=1", "ditflow")  # fmt: skip
METRICS = ("motion_fidelity", "motion_fidelity_moving", "motion_fidelity_both", "text_similarity", "temporal_consistency",
           "vbench:subject_consistency", "vbench:background_consistency", "vbench:motion_smoothness", "time",
           "peak_memory")  # fmt: skip


def write_run(root: Path, records: int) -> None:
    """A run folder with this many records and no frames."""
    import random

    from fastvmt.backbones import card as cards
    from fastvmt.backbones.noise_levels import sigma_grid
    from fastvmt.core.content_address import digest
    from fastvmt.jobs.run_config import RunConfig
    from fastvmt.model import Artefact, Case, MetricRecord, Reference, Setting, Suite
    from fastvmt.plugins import labels, metric_labels
    from fastvmt.store.folder import Store

    card, sigmas, rng = cards.load("tiny"), sigma_grid(10, 3.0), random.Random(0)
    shape = card.shape(64, 64, 33, sigmas)
    cases = tuple(
        Case(id=f"case-{n:05d}", category=("camera", "single_object")[n % 2], prompt=f"prompt {n}",
             reference=Reference(frames_digest=digest(n), width=64, height=64, frames=33, source="drawn"))
        for n in range(records // len(METHODS) // len(METRICS))
    )  # fmt: skip
    setting = Setting(backbone="tiny", weights_digest="0", width=64, height=64, frames=33, steps=10, guidance=3.0,
                      sigmas=sigmas, dtype="float32", negative="")  # fmt: skip
    methods = tuple(labels.resolve(m, shape, card.methods) for m in METHODS)
    config = RunConfig(suite=Suite(name="drawn", cases=cases), setting=setting, methods=methods, seeds=(0,), metrics=METRICS)
    store = Store.create(root, config)
    metrics = [metric_labels.build(m) for m in METRICS]
    lines = []
    for job in config.jobs():
        artefact = Artefact(
            key=job.key, frames_digest=digest(job.key), width=64, height=64, frames=33, fps_num=15, fps_den=1, files={},
            stages={"guidance": rng.random(), "denoise": 1.0}, peak_memory_bytes=1, forward_equivalents=20.0, device="cpu",
            software={}, timing_key="",
        )  # fmt: skip
        folder = store.folder(job)
        folder.mkdir()
        (folder / "meta.json").write_text(artefact.model_dump_json())
        lines += [
            MetricRecord(key=digest([job.key, m.label]), job_key=job.key, metric=m.label, identity={}, status="ok",
                         value=rng.gauss(0.5, 0.1)).model_dump_json()
            for m in metrics
        ]  # fmt: skip
    (root / "records.jsonl").write_text("\n".join(lines) + "\n")


def build(root: Path) -> None:
    start = time.perf_counter()
    load_when_used("torch")
    from fastvmt.reports.page.bundle import tables_of
    from fastvmt.reports.tidy import gather

    tidy = gather([root])
    gathered = time.perf_counter()
    shown = tables_of(tidy, against="paper")
    done = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"tables": len(shown), "rows": len(tidy.frame), "gather_s": round(gathered - start, 2),
                      "tables_s": round(done - gathered, 2), "peak_gib": round(peak, 2)}))  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--read", type=Path, help="an existing run folder (used by the fresh process)")
    asked = parser.parse_args()
    if asked.read:
        build(asked.read)
        return
    with tempfile.TemporaryDirectory() as folder:
        write_run(Path(folder) / "run", asked.records)
        command = [sys.executable, __file__, "--read", str(Path(folder) / "run")]
        found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    print(f"{asked.records} records, {found['rows']} rows in the frame, {found['tables']} tables (measured, imports included)")
    print(f"gather: {found['gather_s']} s; tables: {found['tables_s']} s; peak memory: {found['peak_gib']} GiB")


if __name__ == "__main__":
    main()
