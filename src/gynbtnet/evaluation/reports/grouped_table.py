"""Tables as they stand on paper: in groups, with the best figure bold and marks behind it, as Markdown and LaTeX."""

from collections.abc import Iterator
from dataclasses import dataclass

from gynbtnet.evaluation.statistics.significance_marks import SignificanceMark


@dataclass(frozen=True)
class Head:
    """A heading over one or several columns."""

    text: str
    columns: int = 1


@dataclass(frozen=True)
class Cell:
    """A text, or a figure that may be the best of its kind and marked."""

    text: str
    best: bool = False
    mark: SignificanceMark = ""


Row = tuple[Cell, ...]


@dataclass(frozen=True)
class GroupedTable:
    """A table with its caption.

    Attributes:
        name: its file's name, and its label in LaTeX.
        caption: what the figures are and where the marks came from.
        heads: one or two rows of headings; each row covers all columns.
        groups: rows that belong together, a structure's for instance; a line stands between groups.
        texts: how many columns from the left hold words.
    """

    name: str
    caption: str
    heads: tuple[tuple[Head, ...], ...]
    groups: tuple[tuple[Row, ...], ...]
    texts: int = 1

    @property
    def rows(self) -> Iterator[Row]:
        """All rows."""
        return (row for group in self.groups for row in group)

    @property
    def flat_heads(self) -> tuple[str, ...]:
        """A heading for each column; where there are two rows, both of them."""
        spread = [[head.text for head in row for _ in range(head.columns)] for row in self.heads]
        return tuple(", ".join(text for text in texts if text) for texts in zip(*spread, strict=True))


def markdown(table: GroupedTable) -> str:
    """The table and below it the caption."""
    heads = table.flat_heads
    rule = ["---" if place < table.texts else "---:" for place in range(len(heads))]
    rows = ([_markdown_cell(cell) for cell in row] for row in table.rows)
    lines = [" | ".join(cells) for cells in (map(_markdown_text, heads), rule, *rows)]
    return "".join(f"| {line} |\n" for line in lines) + f"\n{_markdown_text(table.caption)}\n"


def latex(table: GroupedTable) -> str:
    r"""A ``table`` environment that needs ``\usepackage{booktabs}`` and no more; special characters are escaped."""
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
