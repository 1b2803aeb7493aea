"""Writes the pages of a folder from templates that escape everything; only what is ours is written over.

Prompts, ids, labels, notes and logs come from anywhere. No page has a script, style or handler of its own, and a content policy
lets nothing in but the folder's files. Names of files are made here, never taken over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastvmt.core.disk.atomic import write_atomic
from fastvmt.core.spelling import public
from fastvmt.errors import UserError
from fastvmt.reports.page.atlas import json_text

if TYPE_CHECKING:
    from jinja2 import Environment

    from fastvmt.reports.figures.style import Picture

TEMPLATES = Path(__file__).parent / "files"
PICTURE_KINDS = (".svg", ".png", ".webp", ".jpg", ".jpeg")
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


def printable(value: Any) -> Any:
    """Text without what no page can hold (control characters, halves of pairs); anything else as it is."""
    from markupsafe import Markup

    return CONTROL.sub("\ufffd", value) if isinstance(value, str) and not isinstance(value, Markup) else value


def breakable(text: str) -> Any:
    """A long name with places where a line may break."""
    from markupsafe import Markup, escape

    safe = str(escape(printable(text)))
    return Markup(re.sub(r"([_:/@])(?=[^;\s])", r"\1<wbr>", safe))  # noqa: S704 - escaped above


def _environment(folders: Iterable[Path]) -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    made = Environment(
        loader=FileSystemLoader([*folders]), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        finalize=printable,
    )  # fmt: skip
    made.filters["breakable"] = breakable
    made.filters["public"] = public
    made.filters["json_block"] = lambda value: Markup(json_text(value))  # noqa: S704 - holds no markup
    made.filters["words"] = lambda text: str(text).replace("_", " ")
    return made


@dataclass
class PageWriter:
    """Writes pages, leaves alone what is there already, and knows what it wrote.

    Attributes:
        out: the folder; mark: in every page, so that only a folder whose index has it is written over.
        own: paths of pages and what else has the mark in it, as seen from ``out``, that an earlier call may have written.
        templates: folders of templates, looked into before the report's own.
        common: words that every page gets.

    Raises:
        UserError: when ``out`` holds something else.
    """

    out: Path
    mark: str
    own: re.Pattern[str]
    templates: tuple[Path, ...] = ()
    common: dict[str, Any] = field(default_factory=dict)
    written: set[Path] = field(default_factory=set)

    def __post_init__(self) -> None:
        index = self.out / "index.html"
        if self.out.exists() and not self.out.is_dir():
            raise UserError(f"{self.out} is a file; a {self.mark.split()[-1]} is a folder. Give another folder.")
        if index.exists() and not self._ours(index):
            said = f"is not a page of a {self.mark.split()[-1]} and would be written over. Give another folder."
            raise UserError(f"{index} {said}")
        self._made = _environment((*self.templates, TEMPLATES))

    def _ours(self, page: Path) -> bool:
        return self.mark in page.read_text(errors="replace")[:2000]

    def page(self, name: str, template: str, **words: Any) -> None:
        self.put(name, self._made.get_template(template).render(mark=self.mark, **self.common, **words))

    def assets(self, folder: Path, names: Iterable[str]) -> None:
        for name in names:
            self.put(f"assets/{name}", (folder / name).read_bytes())

    def put(self, name: str, data: str | bytes) -> None:
        path, raw = self.out / name, data.encode() if isinstance(data, str) else data
        path.parent.mkdir(parents=True, exist_ok=True)
        self.written.add(path)
        if not path.is_file() or path.stat().st_size != len(raw) or path.read_bytes() != raw:
            write_atomic(path, raw)

    def picture(self, picture: Picture) -> dict[str, str]:
        """Copy a picture under a name made from what is in it."""
        kind = picture.path.suffix.lower()
        if kind not in PICTURE_KINDS:
            raise UserError(f"{picture.path}: a report shows {', '.join(PICTURE_KINDS)} pictures, not '{kind}'.")
        raw = picture.path.read_bytes()
        name = f"pictures/{sha256(raw).hexdigest()[:16]}{kind}"
        self.put(name, raw)
        return {"name": picture.name, "file": name, "alt": picture.alt, "caption": picture.caption}

    def remove_old(self) -> None:
        """Remove what an earlier call wrote into this folder and this one did not."""
        for path in self.out.rglob("*.*"):
            if path not in self.written and self.own.match(path.relative_to(self.out).as_posix()) and self._ours(path):
                path.unlink()
