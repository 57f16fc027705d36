"""The few HTML elements that a report is made of. Every text that comes in is escaped here."""

import base64
from collections.abc import Iterable, Sequence
from html import escape

from gynbtnet.pictures.picture import Picture


def heading(text: str, level: int = 2) -> str:
    """A heading of a section (2) or of a part of one (3)."""
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


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], numbers_from: int = 1, emphasised: str = "") -> str:
    """A table that scrolls sideways on a narrow screen.

    Args:
        heads: the column's names.
        rows: as many texts each.
        numbers_from: this column and those behind it are aligned right.
        emphasised: first cell of the row that is set off from the others.
    """

    def cells(texts: Sequence[str], tag: str) -> str:
        sides = ["" if place < numbers_from else ' class="number"' for place in range(len(texts))]
        return "".join(f"<{tag}{side}>{escape(text)}</{tag}>" for text, side in zip(texts, sides, strict=True))

    body = "".join(
        f"<tr{' class=' + chr(34) + 'whole' + chr(34) if row[0] == emphasised else ''}>{cells(row, 'td')}</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{cells(heads, "th")}</tr></thead><tbody>{body}</tbody></table></div>'


def pairs(values: Iterable[tuple[str, str]]) -> str:
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
    inside = "".join(image(one) for one in pictures)
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f'<figure><div class="{"row" if len(pictures) > 1 else "single"}">{inside}</div>{below}</figure>'


def legend(entries: Iterable[tuple[str, str]]) -> str:
    """Colours (#rrggbb) and what they stand for."""
    items = "".join(
        f'<li><span style="background:{escape(colour)}"></span>{escape(name)}</li>' for name, colour in entries
    )
    return f'<ul class="legend">{items}</ul>'


def folded(summary: str, content: str) -> str:
    """Content (HTML) that opens on a click, and is open on paper."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def bullets(texts: Iterable[str]) -> str:
    """A list."""
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"
