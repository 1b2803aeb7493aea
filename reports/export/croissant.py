"""A suite in Croissant 1.1: its folder copied file by file, with ``croissant.json`` that says what each holds.

What is copied is what the suite names, nothing else that lies beside it. Two record sets: ``clips`` and ``prompts``.
"""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastvmt.core.disk.atomic import bring_file, write_atomic
from fastvmt.core.disk.file_digests import sha256_of
from fastvmt.core.reading import parse_json
from fastvmt.reports.export.push import address
from fastvmt.reports.tables.grid import clean
from fastvmt.suites import tools
from fastvmt.suites.cases import Problems, inside
from fastvmt.suites.format import ClipRow, read_header, read_tables, tables_digest

TABLES = ("clips.jsonl", "prompts.jsonl")
CROISSANT = "http://mlcommons.org/croissant/"
TERMS = (
    "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field", "fileObject", "fileProperty",
    "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet",
    "references", "regex", "repeated", "replace", "samplingRate", "separator", "source", "subField", "transform",
)  # fmt: skip
"""The vocabulary's own terms, as every file of this format lists them."""
CONTEXT: dict[str, Any] = {
    "@language": "en", "@vocab": "https://schema.org/", "sc": "https://schema.org/", "cr": CROISSANT, "rai": f"{CROISSANT}RAI/",
    "dct": "http://purl.org/dc/terms/", **{term: f"cr:{term}" for term in TERMS}, "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"}, "examples": {"@id": "cr:examples", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"}, "name": {"@container": "@language"},
}  # fmt: skip
KINDS = {int: "sc:Integer", float: "sc:Float", str: "sc:Text", bool: "sc:Boolean"}


def write(suite: Path, out: Path, repo: str = "") -> list[Path]:
    """Copy a suite's folder and describe it.

    Args:
        repo: OWNER/NAME on the hub, where the data set's address is to be said.

    Raises:
        SuiteError: for what is no suite's folder, or a suite that `bench suite check --fast` finds something wrong in.
    """
    header, file = read_header(suite)
    tools.check(str(suite), fast=True)
    problems = Problems()
    clips, prompts = read_tables(file.parent, problems)
    problems.raise_if_any()
    names = [file.name, *TABLES, *(name for clip in clips for name in _files(file.parent, clip))]
    for name in names:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        bring_file(inside(file.parent, name), out / name, copy=True)
    digest = tables_digest(clips, prompts)
    facts = {
        "@context": CONTEXT, "@type": "sc:Dataset", "conformsTo": f"{CROISSANT}1.1", "name": clean(header.title) or header.id,
        "description": f"{len(clips)} clips and {len(prompts)} prompts for video motion transfer, a suite of fastvmt-bench. "
                       f"Digest of both tables: {digest}." + (f" Source: {clean(header.source)}." if header.source else ""),
        "version": f"1.0.0+{digest[:12]}",
        **({"license": header.licence} if header.licence else {}),
        **({"url": address(repo)} if repo else {}),
        "distribution": [_file(out, name) for name in dict.fromkeys(names)],
        "recordSet": [_records(out, table) for table in TABLES],
    }  # fmt: skip
    write_atomic(out / "croissant.json", json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    return [out / "croissant.json"]


def _files(folder: Path, clip: ClipRow) -> Iterator[str]:
    place = inside(folder, clip.path)
    if place.is_file():
        yield clip.path
    else:
        yield from (f"{clip.path.rstrip('/')}/{p.name}" for p in sorted(place.iterdir()) if p.is_file() and p.name[0] != ".")


def _file(out: Path, name: str) -> dict[str, str]:
    kind = "application/jsonlines" if name.endswith(".jsonl") else mimetypes.guess_type(name)[0] or "application/octet-stream"
    return {
        "@type": "cr:FileObject", "@id": quote(name), "name": name, "contentUrl": name, "encodingFormat": kind,
        "sha256": sha256_of([out / name])[0],
    }  # fmt: skip


def _records(out: Path, table: str) -> dict[str, Any]:
    """A table's plain columns: those whose values are all of one plain type, where they are said."""
    name = table.removesuffix(".jsonl")
    rows = [parse_json(line) for line in (out / table).read_text("utf-8").splitlines() if line.strip()]
    kinds: dict[str, set[type]] = {}
    for row in rows:
        for key, value in row.items():
            kinds.setdefault(key, set()).add(type(value))
    columns = {key: KINDS[next(iter(found))] for key, found in kinds.items() if len(found) == 1 and found <= KINDS.keys()}
    fields: list[dict[str, Any]] = [
        {"@type": "cr:Field", "@id": f"{name}/{quote(key)}", "name": key, "dataType": kind,
         "source": {"fileObject": {"@id": table}, "extract": {"column": key}}}
        for key, kind in columns.items()
    ]  # fmt: skip
    for field in fields:
        if field["@id"] == "prompts/clip":
            field["references"] = {"field": {"@id": "clips/id"}}
    keys = ["clips/id"] if name == "clips" else ["prompts/clip", "prompts/id"]
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "key": [{"@id": key} for key in keys], "field": fields}
