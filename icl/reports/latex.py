"""Tables and appendices in LaTeX with booktabs; text from strangers cannot become a command.

Text outside of ASCII is kept, for XeLaTeX and LuaLaTeX; signs that icl itself writes (dashes,
arrows, ±) are commands, so that a table of plain words works in pdfLaTeX.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import regex

from icl.core.safe_text import clean
from icl.reports.appendix import Appendix
from icl.reports.grid import Cell, Grid

__all__ = ["as_latex", "escape_latex", "quote_verbatim"]


_COMMANDS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\char34{}",
    "[": "{[}", "]": "{]}", "`": r"\textasciigrave{}", "'": r"\textquotesingle{}",
    "–": r"\textendash{}", "→": r"$\rightarrow$", "↓": r"$\downarrow$", "↑": r"$\uparrow$",
    "±": r"$\pm$", "·": r"\textperiodcentered{}", "…": r"\dots{}", "*": r"\textasteriskcentered{}",
}  # fmt: skip
r"""``[`` after ``\\\\`` would be read as a length, ``?`` and ``!`` before a grave accent as
Spanish signs."""
_FONTS = {
    "Arab": "Noto Naskh Arabic", "Armn": "Noto Sans Armenian", "Beng": "Noto Sans Bengali",
    "Cyrl": "Noto Sans Mono", "Deva": "Noto Sans Devanagari", "Ethi": "Noto Sans Ethiopic",
    "Geor": "Noto Sans Georgian", "Grek": "Noto Sans Mono", "Gujr": "Noto Sans Gujarati",
    "Guru": "Noto Sans Gurmukhi", "Hang": "Noto Sans Mono CJK KR", "Hani": "Noto Sans Mono CJK SC",
    "Hebr": "Noto Sans Hebrew", "Hira": "Noto Sans Mono CJK JP", "Kana": "Noto Sans Mono CJK JP",
    "Khmr": "Noto Sans Khmer", "Knda": "Noto Sans Kannada", "Laoo": "Noto Sans Lao",
    "Mlym": "Noto Sans Malayalam", "Mymr": "Noto Sans Myanmar", "Orya": "Noto Sans Oriya",
    "Sinh": "Noto Sans Sinhala", "Taml": "Noto Sans Tamil", "Telu": "Noto Sans Telugu",
    "Thai": "Noto Sans Thai", "Tibt": "Noto Serif Tibetan",
}  # fmt: skip
"""Unicode script -> a free font that supports it."""


def escape_latex(text: str) -> str:
    r"""Escape a text as one line in which nothing is a command.

    >>> escape_latex("50 % of a_b [1]")
    '50 \\% of a\\_b {[}1{]}'
    """
    line = " ".join(clean(text).split())
    made = "".join(_COMMANDS.get(char, char) for char in line)
    return re.sub("-(?=-)", "-{}", made)  # else two are a dash


def as_latex(grids: Sequence[Grid], appendix: Appendix | None = None) -> str:
    r"""Write tables for ``\input``, one ``table`` environment each; comments name the packages."""
    packages = ["booktabs", "textcomp"] + (["fvextra"] if appendix else [])
    head = [
        "% needs: " + " ".join(rf"\usepackage{{{name}}}" for name in packages),
        "% made for XeLaTeX and LuaLaTeX; pdfLaTeX takes it where all text is Latin",
    ]
    parts = ["\n".join(head)] + [_table(grid) for grid in grids]
    if appendix is not None:
        parts += _appendix(appendix)
    return "\n\n".join(parts) + "\n"


def _table(grid: Grid) -> str:
    lines = [[escape_latex(head) for head in grid.heads]]
    lines += [[_cell(cell) for cell in row] for row in grid.rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    body = [
        "  "
        + " & ".join(
            text.rjust(width) if side == "r" else text.ljust(width)
            for text, width, side in zip(line, widths, grid.align, strict=True)
        )
        + r" \\"
        for line in lines
    ]
    label = re.sub(r"[^A-Za-z0-9.-]+", "-", grid.name).strip("-")
    notes = [escape_latex(note) + r"\\" for note in grid.notes]
    comments = [f"% {' '.join(clean(line).split())}" for line in grid.warnings]
    return "\n".join(
        [
            *comments,
            r"\begin{table}[t]",
            r"\centering\small",
            rf"\caption{{{escape_latex(grid.title)}}}",
            rf"\label{{tab:{label}}}",
            rf"\begin{{tabular}}{{{grid.align}}}",
            r"\toprule",
            body[0],
            r"\midrule",
            *body[1:],
            r"\bottomrule",
            r"\end{tabular}",
            *([r"\par\smallskip\footnotesize", *notes] if notes else []),
            r"\end{table}",
        ]
    )


def _cell(cell: Cell) -> str:
    text = escape_latex(cell.text)
    return rf"\textbf{{{text}}}" if cell.bold else text


def quote_verbatim(text: str, environment: str) -> str:
    """Quote a text verbatim in an environment; control characters are shown as signs."""
    return f"\\begin{{{environment}}}\n{clean(text)}\n\\end{{{environment}}}"


def _appendix(made: Appendix) -> Iterator[str]:
    texts = [clean(one.text) for one in made.templates]
    texts += [clean(one.text) for one in made.prompts]
    name = _environment(texts)
    yield "\n".join(
        [
            *_fonts(texts),
            rf"\DefineVerbatimEnvironment{{{name}}}{{Verbatim}}"
            r"{breaklines,breakanywhere,fontsize=\footnotesize,frame=leftline}",
        ]
    )
    yield r"\section*{Templates}"
    for source in made.templates:
        yield rf"\paragraph{{{escape_latex(source.name)} ({escape_latex(source.language)})}}"
        yield quote_verbatim(source.text, name)
    yield r"\section*{Prompts}"
    for shown in made.prompts:
        title = f"{escape_latex(shown.title)}, row {escape_latex(shown.example)}"
        yield rf"\paragraph{{{title}}}"
        yield quote_verbatim(shown.text, name)
    if made.citations:
        yield "% for the .bib file:"
        for data, text in made.citations:
            lines = [f"data set {' '.join(clean(data).split())}", *clean(text).split("\n")]
            yield "\n".join(f"% {line}" for line in lines)


def _environment(texts: Sequence[str]) -> str:
    """Return a name of an environment that occurs in no text."""
    name = "iclprompt"
    while any(name in text for text in texts):
        name += "x"
    return name


def _fonts(texts: Sequence[str]) -> Iterator[str]:
    """Yield comments about the scripts of the texts, and the fonts that LuaLaTeX needs for them."""
    whole = "\n".join(texts)
    found = {code: font for code, font in _FONTS.items() if regex.search(rf"\p{{{code}}}", whole)}
    if not found:
        return
    yield f"% scripts beside Latin: {', '.join(found)}; in the preamble, for LuaLaTeX:"
    yield r"% \directlua{luaotfload.add_fallback('icl', {"
    for font in dict.fromkeys(found.values()):
        yield f"%   '{font}:mode=harf;',"
    yield r"% })} \setmonofont{Noto Sans Mono}[RawFeature={fallback=icl}]"
    yield r"% for XeLaTeX: \setmonofont with one font that has them all"
