"""The table of a run split by the category of its cases: one line per category and method, a column per metric."""

from __future__ import annotations

from fastvmt.reports.table import Table, cell_of, cell_text, current_records, head_of, ruled

from fastvmt import metric_specs
from fastvmt.store import RunConfig, Store


def as_lines(table: Table, store: Store, config: RunConfig) -> str:
    """Markdown; timings are left out, a metric without meaning in a category shows a dash."""
    names = [m for m in table.metrics if not metric_specs.build(m).timing]
    category = {c.id: c.category for c in config.suite.cases}
    jobs = config.jobs()
    artefacts = {j.key: a for j in jobs if (a := store.artefact(j))}
    records = current_records(store, artefacts)
    rows = [["category", "method", "n", *(head_of(m) for m in names)]]
    for kind in dict.fromkeys(category.values()):
        for method in config.methods:
            own = [j for j in jobs if category[j.case_id] == kind and j.method.label == method.label]
            keys = {j.key for j in own if j.key in artefacts}
            cells = [cell_of([r for r in records if r.metric == m and r.job_key in keys]) for m in names]
            texts = [cell_text(c, m, len(keys)) for c, m in zip(cells, names, strict=True)]
            rows.append([kind, method.label, str(len(keys)), *texts])
    return "\n".join(ruled(rows))
