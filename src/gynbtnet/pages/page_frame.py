"""Frame of every page: one self-contained HTML file, readable on a phone and on paper.

Its policy (Content-Security-Policy) forbids the browser to load anything: pictures, data, style and script are inside.
"""

from collections.abc import Iterable, Iterator
from html import escape
from importlib.resources import files

from gynbtnet.pages import html_elements as html

SYNTHETIC = (
    "Synthetic data. No patient was scanned: the results show that the software works, and nothing about patients."
)
RESEARCH_USE = "For research use only. Not a medical device; every contour needs review by a qualified person."
"""Sentence below the title of every page."""
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""Resources that a browser may load: only those inside the page."""

VIEWER_FOLDER = "viewer"
"""Folder next to a report with one page per case."""
PATIENTS_FOLDER = "patients"
"""Folder next to a dose report with one page per patient."""

Sections = Iterable[tuple[str, Iterator[str]]]
"""Headings, each with the HTML below it in parts."""


def html_page(
    title: str,
    sections: Sections,
    *,
    synthetic: bool,
    description: str = "",
    summary: Iterable[str] = (),
    definitions: str = "",
    is_one_sheet: bool = False,
) -> str:
    """Return the page as HTML; the same content gives the same bytes.

    Args:
        title: title of the page, as text.
        sections: the sections in their order.
        synthetic: True if any of the data is synthetic; the page then begins with a banner.
        description: one paragraph below the title, as text.
        summary: HTML of the first screen, above the links to the sections.
        definitions: invisible HTML that the sections refer to.
        is_one_sheet: print in small type without links to the sections, for a page that fits on one sheet.

    Returns:
        The HTML.
    """
    rendered = [(heading, "".join(parts)) for heading, parts in sections]
    style, script = (
        files("gynbtnet.pages").joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js")
    )
    links = "".join(f'<li><a href="#{html.slug(heading)}">{escape(heading)}</a></li>' for heading, _ in rendered)
    body = "".join(html.section(heading, content) for heading, content in rendered)
    navigation = "" if is_one_sheet else f"<nav><ul>{links}</ul></nav>"
    kind = ' class="sheet"' if is_one_sheet else ""
    first_screen = f'<div class="summary">{"".join(summary)}</div>' if summary else ""
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body{kind}>\n"
        f"{html.paragraph(SYNTHETIC, 'banner') if synthetic else ''}\n{definitions}"
        f"<header><h1>{escape(title)}</h1>{html.paragraph(RESEARCH_USE, 'use')}\n"
        f"{html.paragraph(description) if description else ''}\n{first_screen}{navigation}</header>\n"
        f"<main>\n{body}</main>\n<script>\n{script}</script>\n</body>\n</html>\n"
    )
