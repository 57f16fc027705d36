"""Frame of every report: one self-contained HTML file, readable on a phone and on paper.

Its policy (Content-Security-Policy) forbids the browser to load anything: pictures, data, style and script are inside.
"""

from collections.abc import Iterable, Iterator
from html import escape
from importlib.resources import files

from gynbtnet.evaluation.reports import html_elements as html

SYNTHETIC = (
    "Synthetic data. No patient was scanned: the results show that the software works, and nothing about patients."
)
RESEARCH_USE = "For research use only. Not a medical device; every contour needs review by a qualified person."
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""Resources that a browser may load: only those inside the page."""

Sections = Iterable[tuple[str, Iterator[str]]]
"""Headings, each with the HTML below it in parts."""


def html_page(title: str, sections: Sections, *, synthetic: bool, description: str = "", definitions: str = "") -> str:
    """Return the page as HTML; the same content gives the same bytes.

    Args:
        title: title of the page, as text.
        sections: the sections in their order.
        synthetic: True if any of the data is synthetic; the page then begins with a banner.
        description: one paragraph below the title, as text.
        definitions: invisible HTML that the sections refer to.
    """
    rendered = [(heading, "".join(parts)) for heading, parts in sections]
    style, script = (
        files("gynbtnet.evaluation.reports").joinpath(name).read_text(encoding="utf-8")
        for name in ("report.css", "report.js")
    )
    links = "".join(f'<li><a href="#{html.slug(heading)}">{escape(heading)}</a></li>' for heading, _ in rendered)
    body = "".join(html.section(heading, content) for heading, content in rendered)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"{html.paragraph(SYNTHETIC, 'banner') if synthetic else ''}\n{definitions}"
        f"<header><h1>{escape(title)}</h1>{html.paragraph(RESEARCH_USE, 'use')}\n"
        f"{html.paragraph(description) if description else ''}\n<nav><ul>{links}</ul></nav></header>\n"
        f"<main>\n{body}</main>\n<script>\n{script}</script>\n</body>\n</html>\n"
    )
