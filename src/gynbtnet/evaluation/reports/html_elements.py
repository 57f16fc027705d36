"""HTML elements of a report. Every text is escaped here."""

import base64
import csv
import io
from collections.abc import Iterable, Sequence
from html import escape

from gynbtnet.evaluation.reports.grouped_table import Cell, GroupedTable
from gynbtnet.pictures.picture import Picture


def heading(text: str, level: int = 2) -> str:
    """Return a heading of a section (2), of a part of a section (3), or of a part of that (4)."""
    return f"<h{level}>{escape(text)}</h{level}>"


def section(title: str, content: str) -> str:
    """Return a section (content is HTML) with its heading and an anchor made of its words."""
    return f'<section id="{slug(title)}">{heading(title)}{content}</section>\n'


def slug(text: str) -> str:
    """Return the words of a heading as an anchor."""
    return "-".join("".join(sign if sign.isalnum() else " " for sign in text.lower()).split())


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph; ``kind`` is a class of the style sheet."""
    return f'<p class="{escape(kind)}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def table(
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    numbers: slice = slice(1, None),
    emphasised: str = "",
    download: str = "",
    data: Iterable[Sequence[str]] | None = None,
    classes: Sequence[Sequence[str]] = (),
) -> str:
    """Return a table that scrolls sideways on a narrow screen, and that a reader can sort by any column.

    Args:
        heads: names of the columns.
        rows: the cells of each row, as many as there are columns.
        numbers: columns that are aligned right.
        emphasised: first cell of the row that is emphasised and stays last when the table is sorted.
        download: name of the CSV file that a link below the table downloads; empty: no link.
        data: rows of that file; None: ``rows``.
        classes: class of each cell, for its colour; empty: none.
    """
    rows = [list(row) for row in rows]
    right = range(len(heads))[numbers]

    def cells(texts: Sequence[str], tag: str, kinds: Sequence[str] = ()) -> str:
        scope = ' scope="col"' if tag == "th" else ""
        sides = [scope + _side(column in right) for column in range(len(texts))]
        sides = [
            f' class="{kind}"' if kind else side for side, kind in zip(sides, kinds or [""] * len(sides), strict=True)
        ]
        return "".join(f"<{tag}{side}>{escape(text)}</{tag}>" for text, side in zip(texts, sides, strict=True))

    body = "".join(
        f"<tr{' class=' + chr(34) + 'whole' + chr(34) if row[0] == emphasised else ''}>{cells(row, 'td', kinds)}</tr>"
        for row, kinds in zip(rows, classes or [()] * len(rows), strict=True)
    )
    link = csv_link(csv_text(heads, rows if data is None else data), download) if download else ""
    content = f'<table class="sortable"><thead><tr>{cells(heads, "th")}</tr></thead><tbody>{body}</tbody></table>'
    return _wide(content) + link


def grouped_table(table: GroupedTable) -> str:
    """Return a table in groups, with best values bold and significance marks, and a link to its cells as CSV."""

    def render(cell: Cell, column: int) -> str:
        text = f"<b>{escape(cell.text)}</b>" if cell.best else escape(cell.text)
        mark = f"<sup>{cell.mark}</sup>" if cell.mark else ""
        return f"<td{_side(column >= table.texts)}>{text}{mark}</td>"

    heads = ""
    for row in table.heads:
        column, cells = 0, ""
        for head in row:
            span = f' colspan="{head.columns}"' if head.columns > 1 else ""
            cells += f'<th scope="col"{span}{_side(column >= table.texts)}>{escape(head.text)}</th>'
            column += head.columns
        heads += f"<tr>{cells}</tr>"
    bodies = ""
    for group in table.groups:
        rows = ("".join(render(cell, column) for column, cell in enumerate(row)) for row in group)
        bodies += "<tbody>" + "".join(f"<tr>{row}</tr>" for row in rows) + "</tbody>"
    plain = ([cell.text + cell.mark for cell in row] for row in table.rows)
    return _wide(f'<table class="grouped"><thead>{heads}</thead>{bodies}</table>') + csv_link(
        csv_text(table.flat_heads, plain), f"{table.name}.csv"
    )


def _side(is_number: bool) -> str:
    return ' class="number"' if is_number else ""


def _wide(content: str) -> str:
    """Return content that scrolls sideways, also with the keyboard."""
    return f'<div class="wide" tabindex="0" role="region" aria-label="table">{content}</div>'


def csv_text(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return cells as CSV (RFC 4180, except for the line ends)."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([heads, *rows])
    return buffer.getvalue()


def csv_link(text: str, name: str) -> str:
    """Return a link that downloads a CSV file stored inside the page."""
    encoded = base64.b64encode(text.encode()).decode()
    return (
        f'<p class="download"><a download="{escape(name)}" href="data:text/csv;charset=utf-8;base64,{encoded}">'
        f"{escape(name)}</a></p>"
    )


def definition_list(values: Iterable[tuple[str, str]]) -> str:
    """Return a list of names and values."""
    return (
        '<dl class="pairs">'
        + "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in values)
        + "</dl>"
    )


def image(picture: Picture) -> str:
    """Return a picture stored inside the page."""
    encoded = base64.b64encode(picture.png).decode()
    return f'<img src="data:image/png;base64,{encoded}" alt="{escape(picture.description)}">'


def figure(pictures: Sequence[Picture], caption: str) -> str:
    """Return pictures side by side, or below one another on a narrow screen; an empty caption is left out."""
    content = "".join(
        f"<div>{image(picture)}{csv_link(picture.csv, slug(picture.description) + '.csv') if picture.csv else ''}</div>"
        for picture in pictures
    )
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f'<figure><div class="{"row" if len(pictures) > 1 else "single"}">{content}</div>{below}</figure>'


def legend(entries: Iterable[tuple[str, str]]) -> str:
    """Return a legend of names and their colours (#rrggbb)."""
    items = "".join(
        f'<li><span style="background:{escape(colour)}"></span>{escape(name)}</li>' for name, colour in entries
    )
    return f'<ul class="legend">{items}</ul>'


def details(summary: str, content: str) -> str:
    """Return content (HTML) that opens on a click, and is open on paper."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def keep_together(*parts: str) -> str:
    """Return parts (HTML) that stay on one page of paper."""
    return f'<div class="kept">{"".join(parts)}</div>'


def bullets(texts: Iterable[str]) -> str:
    """Return a bulleted list."""
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"
