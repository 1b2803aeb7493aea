"""How long all tables of a large run take, and how much memory: ``python benchmarks/tables.py [--records 100000]``.

Writes a run folder of drawn numbers (10 methods, 10 metrics, as many cases as make the records) to a temporary folder,
then gathers it and builds every table, the published ones beside it, in a fresh process. Printed: seconds, peak memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

from _common import fresh, write_run

from fastvmt.core.lazy import load_when_used

METRICS = ("motion_fidelity", "motion_fidelity_moving", "motion_fidelity_both", "text_similarity:clip=tiny-shapes",
           "temporal_consistency:clip=tiny-shapes", "vbench:subject_consistency", "vbench:background_consistency",
           "vbench:motion_smoothness", "time", "peak_memory")  # fmt: skip


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
        write_run(Path(folder) / "run", asked.records // len(METRICS), METRICS)
        found = json.loads(fresh([sys.executable, __file__, "--read", str(Path(folder) / "run")])[1])
    print(f"{asked.records} records, {found['rows']} rows in the frame, {found['tables']} tables (measured, imports included)")
    print(f"gather: {found['gather_s']} s; tables: {found['tables_s']} s; peak memory: {found['peak_gib']} GiB")


if __name__ == "__main__":
    main()
