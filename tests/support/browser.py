"""Pages in headless Chromium: what they ask for and complain about, and what a reader of them could not read."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class Watched:
    """A page that remembers what it asked for, what it complained about, and dialogs."""

    def __init__(self, browser: Any, **options: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}} | options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(120_000)  # two busy cores draw a page of 200 cards slowly
        self.asked: list[str] = []
        self.said: list[str] = []
        self.page.on("request", lambda r: self.asked.append(r.url))
        self.page.on("console", lambda m: self.said.append(f"{m.type}: {m.text}"))
        self.page.on("pageerror", lambda e: self.said.append(f"error: {e}"))
        self.page.on("dialog", lambda d: (self.said.append(f"dialog: {d.message}"), d.dismiss()))

    def go(self, path: Path, where: str = "") -> Any:
        self.page.goto(path.as_uri() + where)
        return self.page

    def quiet(self) -> None:
        assert self.said == []
        assert all(url.startswith(("file:", "data:", "blob:")) for url in self.asked)


LOW_CONTRAST = """() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
  const ground = (e) => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
  const low = [];
  for (const e of document.querySelectorAll("main *, header *, footer *")) {
    if (!e.checkVisibility() || e.closest("svg, option, [aria-hidden=true], :disabled") || ![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
    const [a, b] = [light(rgb(getComputedStyle(e).color)), light(ground(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) low.push(`${e.tagName}.${e.className} ${ratio.toFixed(2)} ${e.textContent.slice(0, 30)}`);
  }
  return low;
}"""
"""Texts on a page whose contrast to their ground is under 4.5, the least of WCAG's level AA."""
NAMELESS = """kinds => [...document.querySelectorAll(kinds)]
  .filter(e => !e.textContent.trim() && !e.getAttribute("aria-label") && !(e.labels && e.labels.length)).length"""
"""How many elements of these kinds (a CSS selector) a screen reader could not name."""
