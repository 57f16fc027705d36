"""Printed tables in groups of rows, with best values bold and significance marks, as HTML, Markdown and LaTeX."""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from gynbtnet.evaluation.statistics.significance_marks import SignificanceMark
from gynbtnet.pages.html_elements import csv_link, csv_text, number_class, wide


@dataclass(frozen=True)
class Head:
    """A heading of one or several columns."""

    text: str
    columns: int = 1


@dataclass(frozen=True)
class Cell:
    """A text, or a value that may be the best of its kind and have a significance mark."""

    text: str
    best: bool = False
    mark: SignificanceMark = ""


Row = tuple[Cell, ...]


@dataclass(frozen=True)
class GroupedTable:
    """A table with its caption.

    Attributes:
        name: name of its file, and its label in LaTeX.
        caption: explanation of the values and of the significance marks.
        heads: one or two rows of headings; each row covers all columns.
        groups: rows that belong together, those of a structure for instance; a line separates the groups.
        texts: number of columns, from the left, that contain words.
    """

    name: str
    caption: str
    heads: tuple[tuple[Head, ...], ...]
    groups: tuple[tuple[Row, ...], ...]
    texts: int = 1

    @property
    def rows(self) -> Iterator[Row]:
        """All rows, without the groups."""
        return (row for group in self.groups for row in group)

    @property
    def flat_heads(self) -> tuple[str, ...]:
        """A heading for each column; two rows of headings are joined."""
        spread = [[head.text for head in row for _ in range(head.columns)] for row in self.heads]
        return tuple(", ".join(text for text in texts if text) for texts in zip(*spread, strict=True))


def html_table(table: GroupedTable) -> str:
    """Return the table as HTML, with a link to its cells as CSV."""

    def render(cell: Cell, column: int) -> str:
        text = f"<b>{escape(cell.text)}</b>" if cell.best else escape(cell.text)
        mark = f"<sup>{cell.mark}</sup>" if cell.mark else ""
        return f"<td{number_class(column >= table.texts)}>{text}{mark}</td>"

    heads = ""
    for row in table.heads:
        column, cells = 0, ""
        for head in row:
            span = f' colspan="{head.columns}"' if head.columns > 1 else ""
            cells += f'<th scope="col"{span}{number_class(column >= table.texts)}>{escape(head.text)}</th>'
            column += head.columns
        heads += f"<tr>{cells}</tr>"
    bodies = ""
    for group in table.groups:
        rows = ("".join(render(cell, column) for column, cell in enumerate(row)) for row in group)
        bodies += "<tbody>" + "".join(f"<tr>{row}</tr>" for row in rows) + "</tbody>"
    plain = ([cell.text + cell.mark for cell in row] for row in table.rows)
    return wide(f'<table class="grouped"><thead>{heads}</thead>{bodies}</table>') + csv_link(
        csv_text(table.flat_heads, plain), f"{table.name}.csv"
    )


def markdown(table: GroupedTable) -> str:
    """Return the table as Markdown, with its caption below."""
    heads = table.flat_heads
    rule = ["---" if column < table.texts else "---:" for column in range(len(heads))]
    rows = ([_markdown_cell(cell) for cell in row] for row in table.rows)
    lines = [" | ".join(cells) for cells in (map(_markdown_text, heads), rule, *rows)]
    return "".join(f"| {line} |\n" for line in lines) + f"\n{_markdown_text(table.caption)}\n"


def latex(table: GroupedTable) -> str:
    r"""Return a ``table`` environment with special characters escaped; it needs only ``\usepackage{booktabs}``."""
    columns = len(table.flat_heads)
    heads = []
    for row in table.heads:
        cells = (
            rf"\multicolumn{{{head.columns}}}{{c}}{{{_latex_text(head.text)}}}"
            if head.columns > 1
            else _latex_text(head.text)
            for head in row
        )
        heads.append(" & ".join(cells) + r" \\")
    groups = ("\n".join(" & ".join(map(_latex_cell, row)) + r" \\" for row in group) for group in table.groups)
    body = "\n\\midrule\n".join(groups)
    lines = [
        r"\begin{table}",
        r"\centering\small",
        rf"\caption{{{_latex_text(table.caption)}}}",
        rf"\label{{tab:{table.name}}}",
        rf"\begin{{tabular}}{{{'l' * table.texts}{'r' * (columns - table.texts)}}}",
        r"\toprule",
        *heads,
        r"\midrule",
        body,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _markdown_cell(cell: Cell) -> str:
    text = _markdown_text(cell.text)
    return (f"**{text}**" if cell.best else text) + _markdown_text(cell.mark)


def _markdown_text(text: str) -> str:
    for sign in r"\*_|<":
        text = text.replace(sign, f"\\{sign}")
    return text


def _latex_cell(cell: Cell) -> str:
    text = _latex_text(cell.text)
    mark = {"": "", "*": "$^{*}$", "†": r"$^{\dagger}$"}[cell.mark]
    return (rf"\textbf{{{text}}}" if cell.best else text) + mark


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    "±": r"$\pm$",
    "†": r"$\dagger$",
    "×": r"$\times$",
    "−": "$-$",
    "–": "--",
    "²": "$^{2}$",
    "³": "$^{3}$",
    "η": r"$\eta$",
    "χ": r"$\chi$",
}


def _latex_text(text: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in text)
