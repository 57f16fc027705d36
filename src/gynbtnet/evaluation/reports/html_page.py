"""The frame of every report: one HTML file that needs nothing but itself, readable on a phone and on paper.

Its policy (Content-Security-Policy) forbids the browser to fetch anything: pictures, data, style and script are inside.
"""

from collections.abc import Iterable, Iterator
from html import escape
from importlib.resources import files

from gynbtnet.evaluation.reports import html_elements as html

SYNTHETIC = "Synthetic data. No patient was scanned: these figures say that the software works, nothing about patients."
RESEARCH_USE = "For research use only. Not a medical device; every contour needs review by a qualified person."
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""What a browser may load: nothing that isn't in the page."""

Sections = Iterable[tuple[str, Iterator[str]]]
"""A heading and the HTML below it, in parts."""


def html_page(title: str, sections: Sections, *, synthetic: bool, description: str = "", drawings: str = "") -> str:
    """The page as HTML; the same content gives the same bytes.

    Args:
        title: of the page, as text.
        sections: in their order.
        synthetic: whether any of the data is; said at the top.
        description: one paragraph below the title, as text.
        drawings: HTML that the sections refer to and that isn't seen itself.
    """
    whole = [(heading, "".join(parts)) for heading, parts in sections]
    style, script = (
        files("gynbtnet.evaluation.reports").joinpath(name).read_text(encoding="utf-8")
        for name in ("report.css", "report.js")
    )
    links = "".join(f'<li><a href="#{html.slug(heading)}">{escape(heading)}</a></li>' for heading, _ in whole)
    body = "".join(html.section(heading, inside) for heading, inside in whole)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"{html.paragraph(SYNTHETIC, 'banner') if synthetic else ''}\n{drawings}"
        f"<header><h1>{escape(title)}</h1>{html.paragraph(RESEARCH_USE, 'use')}\n"
        f"{html.paragraph(description) if description else ''}\n<nav><ul>{links}</ul></nav></header>\n"
        f"<main>\n{body}</main>\n<script>\n{script}</script>\n</body>\n</html>\n"
    )
