"""Tables and appendices in LaTeX with booktabs; text from strangers cannot become a command.

Text outside of ASCII is unchanged, for XeLaTeX and LuaLaTeX; signs that icl itself writes (dashes,
arrows, ±) are commands. Latin text works in pdfLaTeX, too; a comment lists its missing glyphs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import regex

from icl.core.safe_text import clean
from icl.reports.appendix import Appendix
from icl.reports.grid import Cell, Grid
from icl.reports.latex_fit import COLUMN_EM, WIDEST_EM, GridPart, divide_grid

__all__ = ["as_latex", "escape_latex", "quote_verbatim"]


WORD_CHARS = 20
"""Most characters of a word that stay together in a wrapped cell or note."""
LINE_EM = WORD_CHARS * WIDEST_EM
"""Width, for captions and notes, in which a word of that many characters is not broken."""
LINE_CHARS = 70
"""Characters of a fixed-width line in an appendix."""
MOST_GLYPHS = 12
"""Most missing characters that are listed."""
_COMMANDS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\char34{}",
    "[": "{[}", "]": "{]}", "`": r"\textasciigrave{}", "'": r"\textquotesingle{}",
    "–": r"\textendash{}", "→": r"$\rightarrow$", "↓": r"$\downarrow$", "↑": r"$\uparrow$",
    "±": r"$\pm$", "·": r"\textperiodcentered{}", "…": r"\dots{}", "*": r"\textasteriskcentered{}",
}  # fmt: skip
r"""Characters read as commands: ``[`` after ``\\\\`` is a length, ``?`` and ``!`` before a grave
accent are Spanish signs."""
_T1 = frozenset(
    "¡¢£¤¥¦§¨©ª«¬®¯°±²³´µ¶·¸¹º»¼½¾¿×÷"
    "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖØÙÚÛÜÝÞßàáâãäåæçèéêëìíîïðñòóôõöøùúûüýþÿ"
    "ĀāĂăĄąĆćĈĉĊċČčĎďĐđĒēĔĕĖėĘęĚěĜĝĞğĠġĢģĤĥĨĩĪīĬĭĮįİıĴĵĶķĹĺĻļĽľŁłŃńŅņŇňŊŋŌōŎŏŐőŒœŔŕŖŗŘřŚśŜŝŞşŠš"
    "ŢţŤťŨũŪūŬŭŮůŰűŲųŴŵŶŷŸŹźŻżŽžȘșȚț–—‘’‚“”„†‡•…‰‹›€™←↑→↓"
)
"""Characters of pdfLaTeX's font encodings T1 and TS1, besides ASCII."""
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
    r"""Write tables for ``\input`` that fit the page; comments name the packages.

    A table that is too wide or too long for a page of one column is divided; ``table*`` is what
    is too wide for one of two columns.
    """
    parts = [part for grid in grids for part in divide_grid(grid)]
    wrapped = any(width is not None for part in parts for width in part.widths)
    packages = ["booktabs", "textcomp"] + (["array"] if wrapped else [])
    packages += ["fvextra"] if appendix else []
    texts = [text for part in parts for text in _texts(part.grid)]
    texts += _appendix_texts(appendix) if appendix else []
    head = [
        "% needs: " + " ".join(rf"\usepackage{{{name}}}" for name in packages),
        "% for pdfLaTeX also: \\usepackage[T1]{fontenc} \\usepackage{lmodern}",
        *_missing_glyphs(texts),
    ]
    blocks = ["\n".join(head)] + [_table(part) for part in parts]
    if appendix is not None:
        blocks += _appendix(appendix)
    return "\n\n".join(blocks) + "\n"


def _texts(grid: Grid) -> list[str]:
    cells = [cell.text for row in grid.rows for cell in row]
    return [clean(text) for text in (grid.title, *grid.heads, *cells, *grid.notes)]


def _appendix_texts(made: Appendix) -> list[str]:
    found = [text for one in made.templates for text in (one.name, one.language, one.text)]
    found += [text for one in made.prompts for text in (one.title, one.example, one.text)]
    return [clean(text) for text in found]


def _missing_glyphs(texts: Sequence[str]) -> Iterator[str]:
    """Yield a comment on the characters that have no glyph in pdfLaTeX, if there are any."""
    found = dict.fromkeys(char for text in texts for char in text)
    found = {char: None for char in found if not _has_glyph(char)}
    if not found:
        yield "% all text is Latin: XeLaTeX, LuaLaTeX and pdfLaTeX take it"
        return
    shown = ", ".join(f"{char} U+{ord(char):04X}" for char in list(found)[:MOST_GLYPHS])
    more = len(found) - MOST_GLYPHS
    yield f"% pdfLaTeX has no glyph for {shown}" + (f" and {more} more" if more > 0 else "")
    yield "% so use XeLaTeX or LuaLaTeX, with fonts that have these; a log says what is missing"


def _has_glyph(char: str) -> bool:
    return " " <= char <= "~" or char in _COMMANDS or char in _T1 or char in "\n\t"


def _table(part: GridPart) -> str:
    grid = part.grid
    lines = [[_text(head, em) for head, em in zip(grid.heads, part.widths, strict=True)]]
    lines += [
        [_cell(cell, em) for cell, em in zip(row, part.widths, strict=True)] for row in grid.rows
    ]
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
    notes = [_text(note, LINE_EM) + r"\par" for note in grid.notes]
    comments = [f"% {' '.join(clean(line).split())}" for line in grid.warnings]
    environment = "table" if part.em <= COLUMN_EM else "table*"
    columns = "".join(
        side if width is None else rf">{{\raggedright\arraybackslash}}p{{{width:.1f}em}}"
        for side, width in zip(grid.align, part.widths, strict=True)
    )
    return "\n".join(
        [
            *comments,
            rf"\begin{{{environment}}}[t]",
            r"\centering\small\setlength{\tabcolsep}{3pt}",
            rf"\caption{{{_text(grid.title, LINE_EM)}}}",
            rf"\label{{tab:{label}}}",
            rf"\begin{{tabular}}{{@{{}}{columns}@{{}}}}",
            r"\toprule",
            body[0],
            r"\midrule",
            *body[1:],
            r"\bottomrule",
            r"\end{tabular}",
            *([r"\par\smallskip\raggedright\footnotesize", *notes] if notes else []),
            rf"\end{{{environment}}}",
        ]
    )


def _text(text: str, em: float | None) -> str:
    """Escape a text; within ``em`` a line may end after signs and inside long words."""
    if em is None:
        return escape_latex(text)
    chars = max(1, min(WORD_CHARS, int(em / WIDEST_EM)))
    words = " ".join(clean(text).split()).split(" ")
    return " ".join(_breakable(word, chars) for word in words)


def _breakable(word: str, chars: int) -> str:
    pieces = [
        piece[at : at + chars]
        for piece in re.findall(r"[^/_|,→-]*[/_|,→-]|[^/_|,→-]+", word)
        for at in range(0, len(piece), chars)
    ]
    return r"\allowbreak{}".join(escape_latex(piece) for piece in pieces)


def _cell(cell: Cell, em: float | None) -> str:
    text = _text(cell.text, em)
    return rf"\textbf{{{text}}}" if cell.bold else text


def quote_verbatim(text: str, environment: str) -> str:
    """Quote a text verbatim in an environment; control characters are shown as signs."""
    return f"\\begin{{{environment}}}\n{clean(text)}\n\\end{{{environment}}}"


def _appendix(made: Appendix) -> Iterator[str]:
    texts = [clean(one.text) for one in made.templates]
    texts += [clean(one.text) for one in made.prompts]
    name = _environment(texts)
    yield "\n".join([*_fonts(texts), *_long_words(made), *_environments(name)])
    yield r"\section*{Templates}"
    for source in made.templates:
        yield rf"\paragraph{{{escape_latex(source.name)} ({escape_latex(source.language)})}}"
        yield _quote(source.text, name)
    yield r"\section*{Prompts}"
    for shown in made.prompts:
        title = f"{escape_latex(shown.title)}, row {escape_latex(shown.example)}"
        yield rf"\paragraph{{{title}}}"
        yield _quote(shown.text, name)
    if made.citations:
        yield "% for the .bib file:"
        for data, text in made.citations:
            lines = [f"data set {' '.join(clean(data).split())}", *clean(text).split("\n")]
            yield "\n".join(f"% {line}" for line in lines)


def _environments(name: str) -> Iterator[str]:
    """Yield two environments: for ASCII, and for other text.

    pdfLaTeX reads a letter outside of ASCII as several bytes, and ``breakanywhere`` would end a
    line between them; there such text is broken at spaces alone.
    """
    options = "breaklines,fontsize=\\footnotesize,frame=leftline"
    anywhere = f"breaklines,breakanywhere{options.removeprefix('breaklines')}"
    define = r"\DefineVerbatimEnvironment"
    yield rf"{define}{{{name}ascii}}{{Verbatim}}{{{anywhere}}}"
    yield r"\ifdefined\Umathchar"
    yield rf"{define}{{{name}}}{{Verbatim}}{{{anywhere}}}"
    yield r"\else"
    yield rf"{define}{{{name}}}{{Verbatim}}{{{options}}}"
    yield r"\fi"


def _quote(text: str, name: str) -> str:
    return quote_verbatim(text, f"{name}ascii" if clean(text).isascii() else name)


def _long_words(made: Appendix) -> Iterator[str]:
    """Yield comments on words wider than a line, since pdfLaTeX cannot break them."""
    for title, text in [
        *((one.name, one.text) for one in made.templates),
        *((f"{one.title}, row {one.example}", one.text) for one in made.prompts),
    ]:
        longest = 0 if clean(text).isascii() else max(map(len, clean(text).split()), default=0)
        if longest > LINE_CHARS:
            where = " ".join(clean(title).split())
            yield f"% {where}: pdfLaTeX does not break its word of {longest} characters"


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
    yield f"% scripts besides Latin: {', '.join(found)}; in the preamble, for LuaLaTeX:"
    yield r"% \directlua{luaotfload.add_fallback('icl', {"
    for font in dict.fromkeys(found.values()):
        yield f"%   '{font}:mode=harf;',"
    yield r"% })} \setmonofont{Noto Sans Mono}[RawFeature={fallback=icl}]"
    yield r"% for XeLaTeX: \setmonofont with one font that has them all"
