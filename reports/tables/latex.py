"""A table as LaTeX: booktabs, no vertical rules, every text escaped.

    from fastvmt.reports.tables.latex import document
    Path("tables.tex").write_text(document(views), encoding="utf-8")

A table by itself needs ``booktabs`` and ``graphicx``, T1 fonts and UTF-8 input, as ``PREAMBLE`` has them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from fastvmt.reports.tables.grid import HEAD_WIDTH, Grid, clean, digests, fold, for_people, grid, more, pieces, tail
from fastvmt.reports.tables.view import Cell, Column, View

PREAMBLE = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage{textcomp}
\usepackage{booktabs}
\usepackage{graphicx}
\usepackage[margin=2cm]{geometry}
\IfFileExists{lmodern.sty}{\usepackage{lmodern}}{}
"""
TABLES_A_PAGE = 8
"""LaTeX keeps a limited number of floats waiting; they are set before it runs out."""
NOTES = 3
"""So many notes stand in the float."""

_ASCII = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "^": r"\textasciicircum{}",
    "_": r"\_", "~": r"\textasciitilde{}", "%": r"\%", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    '"': r"\textquotedbl{}", "'": r"\textquotesingle{}", "`": r"\textasciigrave{}",
}  # fmt: skip
_SIGNS = {
    "↑": r"$\uparrow$", "↓": r"$\downarrow$", "→": r"$\rightarrow$", "←": r"$\leftarrow$", "≈": r"$\approx$", "×": r"$\times$",
    "±": r"$\pm$", "÷": r"$\div$", "−": "$-$", "≤": r"$\leq$", "≥": r"$\geq$", "≠": r"$\neq$", "∞": r"$\infty$",
    "·": r"$\cdot$", "√": r"$\surd$", "∈": r"$\in$", "°": r"\textdegree{}", "²": "$^2$", "³": "$^3$", "¹": "$^1$",
    "–": r"\textendash{}", "—": r"\textemdash{}", "…": r"\ldots{}", "‘": r"\textquoteleft{}", "’": r"\textquoteright{}",
    "“": r"\textquotedblleft{}", "”": r"\textquotedblright{}", "§": r"\S{}", "•": r"\textbullet{}", "µ": r"$\mu$",
    "€": r"\texteuro{}", "′": "$'$",
}  # fmt: skip
_GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "varepsilon", "ζ": "zeta", "η": "eta", "θ": "theta",
    "ι": "iota", "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "π": "pi", "ρ": "rho", "σ": "sigma",
    "τ": "tau", "υ": "upsilon", "φ": "varphi", "χ": "chi", "ψ": "psi", "ω": "omega", "ϕ": "phi", "ϵ": "epsilon",
    "Γ": "Gamma", "Δ": "Delta", "Θ": "Theta", "Λ": "Lambda", "Ξ": "Xi", "Π": "Pi", "Σ": "Sigma", "Υ": "Upsilon",
    "Φ": "Phi", "Ψ": "Psi", "Ω": "Omega",
}  # fmt: skip
_ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u", "\u0307": ".", "\u0308": '"',
    "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0327": "c", "\u0328": "k",
}  # fmt: skip
_LETTERS = {
    "ß": r"\ss{}", "æ": r"\ae{}", "Æ": r"\AE{}", "ø": r"\o{}", "Ø": r"\O{}", "å": r"\aa{}", "Å": r"\AA{}", "œ": r"\oe{}",
    "Œ": r"\OE{}", "ł": r"\l{}", "Ł": r"\L{}", "ı": r"\i{}", "ð": r"\dh{}", "Ð": r"\DH{}", "þ": r"\th{}", "Þ": r"\TH{}",
}  # fmt: skip


def tex(text: str) -> str:
    """Text as LaTeX that prints it. A sign that T1 fonts lack is printed as its code point, never dropped."""
    escaped = "".join(_sign(c) for c in unicodedata.normalize("NFC", clean(text)))
    escaped = re.sub(r"([-,])(?=\1)", r"\1{}", escaped)  # two of them would join into another sign
    return re.sub(r"^[\[*]", r"{\g<0>}", escaped)  # at the start of a row they would be an argument of the break before it


def _sign(c: str) -> str:
    if (found := _ASCII.get(c) or _SIGNS.get(c) or _LETTERS.get(c)) is not None:
        return found
    if c.isascii():
        return c
    if c in _GREEK:
        return f"$\\{_GREEK[c]}$"
    base, *marks = list(unicodedata.normalize("NFD", c))
    if len(marks) == 1 and marks[0] in _ACCENTS and base.isascii() and base.isalpha():
        dotless = {"i": r"\i", "j": r"\j"}.get(base, base) if marks[0] not in "\u0327\u0328" else base
        return f"\\{_ACCENTS[marks[0]]}{{{dotless}}}"
    return f"\\texttt{{U+{ord(c):04X}}}\\allowbreak{{}}"


def latex(view: View) -> str:
    """The table as a float, shrunk to the line where it is wider: verdict in the caption, legend and the first notes under it.

    What else there is to know of it, digests among it, stands in comments before it.
    """
    shown, spread = for_people(view)
    laid, (legend, *notes) = grid(shown), [*tail(shown, spread), ""]
    aside = [*notes[NOTES:], more(view), *digests(view)]
    caption = ". ".join(filter(None, [tex(view.title), tex(view.setting), " ".join(map(tex, view.verdict))]))
    return "\n".join([
        f"% {_comment(view.id)}",
        *(f"% {_comment(text)}" for text in aside if text),
        r"\begin{table}[!htbp]",
        r"\centering",
        rf"\caption{{{caption}}}",
        rf"\label{{tab:{re.sub('[^A-Za-z0-9._-]', '-', view.id)}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{@{{}}l{'r' * len(laid.columns)}@{{}}}}",
        r"\toprule",
        *_heads(laid),
        *_body(laid, spread),
        r"\bottomrule",
        r"\end{tabular}}",
        *_under([legend, *notes[:NOTES]]),
        r"\end{table}",
        "",
    ])  # fmt: skip


def document(views: Iterable[View]) -> str:
    """A whole LaTeX file of several tables."""
    tables = [latex(view) for view in views]
    pages = ["\n".join(tables[at : at + TABLES_A_PAGE]) for at in range(0, len(tables), TABLES_A_PAGE)]
    body = "\n\\clearpage\n".join(pages) or "No tables.\n"
    return f"{PREAMBLE}\\begin{{document}}\n{body}\\end{{document}}\n"


def _comment(text: str) -> str:
    """For a comment line: printable ASCII only, so that no sign can end the line."""
    return "".join(c for c in text if " " <= c <= "~")


def _heads(laid: Grid) -> list[str]:
    corner = r"\hspace{1em}"  # a table of no width cannot be scaled
    return [" & ".join([corner, *map(_head, laid.heads)]) + r" \\", r"\midrule"]


def _head(text: str) -> str:
    """A column's head, a long one in several lines, so that the table need not be shrunk for it."""
    lines = [tex(line) for line in fold(text, HEAD_WIDTH)]
    stacked = r" \\ ".join(lines)
    return stacked if len(lines) == 1 else rf"\begin{{tabular}}[b]{{@{{}}r@{{}}}}{stacked}\end{{tabular}}"


def _body(laid: Grid, spread: str) -> list[str]:
    lines = []
    for n, (group, band) in enumerate(laid.bands):
        if n:
            lines.append(r"\midrule")
        if group:
            lines.append(rf"\multicolumn{{{len(laid.columns) + 1}}}{{@{{}}l}}{{\textit{{{tex(group)}}}}} \\")
        lines += [" & ".join([tex(row.head), *(_cell(*pair, spread) for pair in row.cells)]) + r" \\" for row in band]
    return lines


def _cell(cell: Cell, column: Column, spread: str) -> str:
    number, rest = pieces(cell, column, spread)
    if not number:
        return rf"\textit{{{tex(rest)}}}"
    number = number.replace("-", "$-$")
    number = {"best": rf"\textbf{{{number}}}", "second": rf"\underline{{{number}}}"}.get(cell.mark, number)
    return number + _rest(rest)


def _rest(rest: str) -> str:
    """What follows a number: the interval small, then the signs."""
    found = re.fullmatch(r" (\[[^]]*\]|±[0-9.]+)(.*)", rest)
    if found is None:
        return "" if not rest else f" {tex(rest)}"
    return rf" {{\scriptsize {found[1].replace('-', '$-$').replace('±', _SIGNS['±'])}}}" + (
        f" {tex(found[2])}" if found[2] else ""
    )


def _under(said: Iterable[str]) -> list[str]:
    paragraphs = [tex(text) + r"\par" for text in said if text]
    if not paragraphs:
        return []
    opening = r"\begin{minipage}{\linewidth}\footnotesize\raggedright"
    return [r"\par\smallskip", opening, *paragraphs, r"\end{minipage}"]
