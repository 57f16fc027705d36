"""HTML elements of a page. Every text is escaped here."""

import base64
import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal
from urllib.parse import quote

from gynbtnet.pictures.picture import Picture

BadgeKind = Literal["good", "fair", "bad", "open"]
SIGNS: dict[BadgeKind, str] = {"good": "✓", "fair": "≈", "bad": "✗", "open": "?"}
"""Sign of each kind of badge, for readers who can't distinguish the colours and for black and white prints."""


@dataclass(frozen=True)
class Badge:
    """A judged text: its kind gives the colour and the sign.

    Attributes:
        text: the text.
        kind: good, fair, bad, or open if it was not judged.
        meaning: the judgement in words, for a pointer and for screen readers.
    """

    text: str
    kind: BadgeKind
    meaning: str

    def __str__(self) -> str:
        return f"{self.text} ({self.meaning})"


@dataclass(frozen=True)
class Link:
    """A text that opens a file next to the page.

    Attributes:
        text: the text.
        address: address of the file relative to the page.
    """

    text: str
    address: str

    def __str__(self) -> str:
        return self.text


Cell = str | Badge | Link | tuple[str | Badge, ...]
"""Content of a cell of a table, or several below one another; a line break in a text begins a new line."""
_WORDY = 40
"""Number of letters from which a cell gets a width that can be read on a phone."""


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
    rows: Iterable[Sequence[Cell]],
    numbers: slice = slice(1, None),
    emphasised: str = "",
    download: str = "",
    data: Iterable[Sequence[str]] | None = None,
    swatches: Mapping[str, str] | None = None,
) -> str:
    """Return a table that scrolls sideways on a narrow screen, and that a reader can sort by any column.

    Args:
        heads: names of the columns.
        rows: the cells of each row, as many as there are columns.
        numbers: columns that are aligned right.
        emphasised: first cell of the row that is emphasised and stays last when the table is sorted.
        download: name of the CSV file that a link below the table downloads; empty: no link.
        data: rows of that file; None: ``rows``.
        swatches: colours (#rrggbb) that are shown in front of the first cells with these texts.
    """
    rows = [list(row) for row in rows]
    right = range(len(heads))[numbers]

    def cells(contents: Sequence[Cell], tag: str) -> str:
        scope = ' scope="col"' if tag == "th" else ""
        sides = [scope + _cell_class(cell, is_number=column in right) for column, cell in enumerate(contents)]
        colour = (swatches or {}).get(str(contents[0])) if tag == "td" else None
        swatch = f'<span class="swatch" style="background:{escape(colour)}"></span>' if colour else ""
        return "".join(
            f"<{tag}{side}>{'' if column else swatch}{_cell(cell)}</{tag}>"
            for column, (cell, side) in enumerate(zip(contents, sides, strict=True))
        )

    body = "".join(
        f"<tr{' class=' + chr(34) + 'whole' + chr(34) if row[0] == emphasised else ''}>{cells(row, 'td')}</tr>"
        for row in rows
    )
    link = csv_link(csv_text(heads, rows if data is None else data), download) if download else ""
    content = f'<table class="sortable"><thead><tr>{cells(heads, "th")}</tr></thead><tbody>{body}</tbody></table>'
    return wide(content) + link


def form(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table to fill in on paper: its cells have borders and room to write, and stay on one page.

    Args:
        heads: names of the columns.
        rows: the cells of each row; those to fill in are empty.
    """
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    body = "".join(f"<tr>{''.join(f'<td>{_cell(cell)}</td>' for cell in row)}</tr>" for row in rows)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="kept form">{wide(table)}</div>'


def _cell(cell: Cell) -> str:
    if isinstance(cell, tuple):
        return "".join(f'<div class="stacked">{_cell(part)}</div>' for part in cell)
    if isinstance(cell, Badge):
        return badge(cell)
    if isinstance(cell, Link):
        return f'<a href="{escape(quote(cell.address))}">{escape(cell.text)}</a>'
    return escape(cell).replace("\n", "<br>")


def _cell_class(cell: Cell, *, is_number: bool) -> str:
    return ' class="wordy"' if len(str(cell)) >= _WORDY and not is_number else number_class(is_number)


def badge(content: Badge) -> str:
    """Return a judged text with its colour, its sign and its meaning."""
    return (
        f'<span class="badge {content.kind}" title="{escape(content.meaning)}">{escape(content.text)} '
        f'<span aria-hidden="true">{SIGNS[content.kind]}</span><span class="spoken"> {escape(content.meaning)}</span>'
        "</span>"
    )


def badge_legend(meanings: Iterable[tuple[BadgeKind, str]]) -> str:
    """Return the explanation of badges."""
    items = "".join(
        f'<li><span class="badge {kind}">{SIGNS[kind]}</span> {escape(words)}</li>' for kind, words in meanings
    )
    return f'<ul class="legend badges">{items}</ul>'


def number_class(is_number: bool) -> str:
    """Return the attribute that aligns a cell with a number."""
    return ' class="number"' if is_number else ""


def wide(content: str) -> str:
    """Return content that scrolls sideways, also with the keyboard; the page's script adds a hint if it is cut off."""
    return f'<div class="wide" tabindex="0" role="region" aria-label="table">{content}</div>'


def csv_text(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return cells as CSV (RFC 4180, except for the line ends); a line break in a cell becomes ``; ``."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([_plain(cell) for cell in row] for row in (heads, *rows))
    return buffer.getvalue()


def _plain(cell: object) -> str:
    text = "; ".join(map(str, cell)) if isinstance(cell, tuple) else str(cell)
    return text.replace("\n", "; ")


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


def links(entries: Iterable[tuple[str, str]]) -> str:
    """Return a list of links, each with its text and its address relative to the page."""
    items = "".join(f'<li><a href="{escape(quote(address))}">{escape(text)}</a></li>' for text, address in entries)
    return f'<ul class="links screen">{items}</ul>'


def details(summary: str, content: str, *, on_paper: bool = False) -> str:
    """Return content that opens on a click.

    Args:
        summary: text to click on.
        content: the content as HTML.
        on_paper: print the content also if it is closed; otherwise it is printed only if it is open.

    Returns:
        The HTML.
    """
    kind = ' class="paper"' if on_paper else ""
    return f"<details{kind}><summary>{escape(summary)}</summary>{content}</details>"


def screen_only(*parts: str) -> str:
    """Return parts (HTML) that are not printed."""
    return f'<div class="screen">{"".join(parts)}</div>'


def pairwise(parts: Iterable[str]) -> str:
    """Return parts (HTML) below one another; on paper two are side by side."""
    return f'<div class="pairwise">{"".join(parts)}</div>'


def many_panels(parts: Iterable[str]) -> str:
    """Return parts (HTML) whose rows have many small pictures on paper."""
    return f'<div class="many">{"".join(parts)}</div>'


def keep_together(*parts: str) -> str:
    """Return parts (HTML) that stay on one page of paper."""
    return f'<div class="kept">{"".join(parts)}</div>'


def bullets(texts: Iterable[str]) -> str:
    """Return a bulleted list."""
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"
