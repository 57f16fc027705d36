"""The few HTML elements that a report is made of. Every text that comes in is escaped here."""

import base64
import csv
import io
from collections.abc import Iterable, Sequence
from html import escape

from gynbtnet.evaluation.reports.grouped_table import Cell, GroupedTable
from gynbtnet.pictures.picture import Picture


def heading(text: str, level: int = 2) -> str:
    """A heading of a section (2), of a part of one (3), or of a part of that (4)."""
    return f"<h{level}>{escape(text)}</h{level}>"


def section(title: str, content: str) -> str:
    """A section (content is HTML) with its heading and an anchor made of its words."""
    return f'<section id="{slug(title)}">{heading(title)}{content}</section>\n'


def slug(text: str) -> str:
    """The words of a heading as an anchor."""
    return "-".join("".join(sign if sign.isalnum() else " " for sign in text.lower()).split())


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph; ``kind`` is a class of the style sheet."""
    return f'<p class="{escape(kind)}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def table(
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    numbers: slice = slice(1, None),
    emphasised: str = "",
    download: str = "",
) -> str:
    """A table that scrolls sideways on a narrow screen, and that a reader sorts by any column.

    Args:
        heads: the column's names.
        rows: as many texts each.
        numbers: these columns are aligned right.
        emphasised: first cell of the row that is set off from the others, and stays last.
        download: name of the file that a link below hands out with the same cells; empty: no link.
    """
    rows = [list(row) for row in rows]
    right = range(len(heads))[numbers]

    def cells(texts: Sequence[str], tag: str) -> str:
        scope = ' scope="col"' if tag == "th" else ""
        sides = [scope + _side(place in right) for place in range(len(texts))]
        return "".join(f"<{tag}{side}>{escape(text)}</{tag}>" for text, side in zip(texts, sides, strict=True))

    body = "".join(
        f"<tr{' class=' + chr(34) + 'whole' + chr(34) if row[0] == emphasised else ''}>{cells(row, 'td')}</tr>"
        for row in rows
    )
    link = csv_link(csv_text(heads, rows), download) if download else ""
    whole = f'<table class="sortable"><thead><tr>{cells(heads, "th")}</tr></thead><tbody>{body}</tbody></table>'
    return _wide(whole) + link


def grouped_table(table: GroupedTable) -> str:
    """A table in groups, its best figures bold and marks behind them, with a link to the same cells as CSV."""

    def cell(one: Cell, place: int) -> str:
        text = f"<b>{escape(one.text)}</b>" if one.best else escape(one.text)
        mark = f"<sup>{one.mark}</sup>" if one.mark else ""
        return f"<td{_side(place >= table.texts)}>{text}{mark}</td>"

    heads = ""
    for row in table.heads:
        place, cells = 0, ""
        for head in row:
            span = f' colspan="{head.columns}"' if head.columns > 1 else ""
            cells += f'<th scope="col"{span}{_side(place >= table.texts)}>{escape(head.text)}</th>'
            place += head.columns
        heads += f"<tr>{cells}</tr>"
    bodies = ""
    for group in table.groups:
        rows = ("".join(cell(one, place) for place, one in enumerate(row)) for row in group)
        bodies += "<tbody>" + "".join(f"<tr>{row}</tr>" for row in rows) + "</tbody>"
    plain = ([one.text + one.mark for one in row] for row in table.rows)
    return _wide(f'<table class="grouped"><thead>{heads}</thead>{bodies}</table>') + csv_link(
        csv_text(table.flat_heads, plain), f"{table.name}.csv"
    )


def _side(number: bool) -> str:
    return ' class="number"' if number else ""


def _wide(content: str) -> str:
    """What scrolls sideways, with the keyboard too."""
    return f'<div class="wide" tabindex="0" role="region" aria-label="table">{content}</div>'


def csv_text(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Cells as CSV (RFC 4180 but for the line ends)."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([heads, *rows])
    return buffer.getvalue()


def csv_link(text: str, name: str) -> str:
    """A link inside the page that hands out a CSV file."""
    encoded = base64.b64encode(text.encode()).decode()
    return (
        f'<p class="download"><a download="{escape(name)}" href="data:text/csv;charset=utf-8;base64,{encoded}">'
        f"{escape(name)}</a></p>"
    )


def definition_list(values: Iterable[tuple[str, str]]) -> str:
    """Names and their values."""
    return (
        '<dl class="pairs">'
        + "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in values)
        + "</dl>"
    )


def image(picture: Picture) -> str:
    """A picture inside the page."""
    encoded = base64.b64encode(picture.png).decode()
    return f'<img src="data:image/png;base64,{encoded}" alt="{escape(picture.description)}">'


def figure(pictures: Sequence[Picture], caption: str) -> str:
    """Pictures side by side, one under another on a narrow screen, with a caption where there is something to say."""
    inside = "".join(
        f"<div>{image(one)}{csv_link(one.csv, slug(one.description) + '.csv') if one.csv else ''}</div>"
        for one in pictures
    )
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f'<figure><div class="{"row" if len(pictures) > 1 else "single"}">{inside}</div>{below}</figure>'


def legend(entries: Iterable[tuple[str, str]]) -> str:
    """Colours (#rrggbb) and what they stand for."""
    items = "".join(
        f'<li><span style="background:{escape(colour)}"></span>{escape(name)}</li>' for name, colour in entries
    )
    return f'<ul class="legend">{items}</ul>'


def details(summary: str, content: str) -> str:
    """Content (HTML) that opens on a click, and is open on paper."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def note_kept(*parts: str) -> str:
    """Parts (HTML) that stay on one page of paper."""
    return f'<div class="kept">{"".join(parts)}</div>'


def bullets(texts: Iterable[str]) -> str:
    """A list."""
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"
