"""Viewers of all cases: inside the report if they are small, otherwise as pages next to it that a link opens."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from gynbtnet.pages import html_elements as html
from gynbtnet.pages.page_frame import VIEWER_FOLDER, html_page
from gynbtnet.pages.slice_drawing import DEFINITIONS, HATCH_LEGEND, isodose_legend
from gynbtnet.pages.slice_viewer import ViewedCase, viewer
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.progress import track

MOST_BYTES_INSIDE = 12_000_000
"""Largest size of all pictures that are stored inside a report."""


@dataclass(frozen=True)
class CaseViewers:
    """Cases that a reader can open.

    Attributes:
        inside: cases whose viewer is inside the page.
        links: title and relative address of the pages of all other cases.
    """

    inside: tuple[ViewedCase, ...] = ()
    links: tuple[tuple[str, str], ...] = ()


def case_viewers(
    case_ids: Sequence[str], draw: Callable[[str], ViewedCase], folder: Path, *, synthetic: bool
) -> CaseViewers:
    """Draw the viewers of cases one after the other, and write those that the page can't hold.

    All cases are inside the page if as many cases as large as the first one are small enough.

    Args:
        case_ids: ids of the cases.
        draw: returns the viewer of a case.
        folder: folder of the report; ``viewer`` in it is replaced.
        synthetic: whether any of the data is synthetic.
    """
    pages = folder / VIEWER_FOLDER
    if pages.is_dir():
        shutil.rmtree(pages)
    if not case_ids:
        return CaseViewers()
    first = draw(case_ids[0])
    size = sum(len(image) for stack in first.stacks for image in stack.images)
    rest = (draw(case_id) for case_id in track(case_ids[1:], "Draw viewers"))
    if size * len(case_ids) <= MOST_BYTES_INSIDE:
        return CaseViewers(inside=(first, *rest))
    links = []
    with atomic_write(pages) as partial:
        partial.mkdir()
        for case_id, case in zip(case_ids, chain([first], rest), strict=True):
            (partial / f"{case_id}.html").write_text(case_page(case, synthetic=synthetic), encoding="utf-8")
            links.append((case.title, f"{VIEWER_FOLDER}/{case_id}.html"))
    return CaseViewers(links=tuple(links))


def case_page(case: ViewedCase, *, synthetic: bool) -> str:
    """Return the page of one case."""
    parts = (
        HATCH_LEGEND if case.has_reference else "",
        html.legend((style.name, style.colour) for style in case.styles.values()),
        isodose_legend(case.isodoses),
        viewer(case, "case"),
    )
    return html_page(
        case.title,
        [("Slices", iter(parts))],
        synthetic=synthetic,
        description=case.caption,
        definitions=DEFINITIONS,
        is_one_sheet=True,
    )


def viewer_list(viewers: CaseViewers, key: str = "other") -> str:
    """Return the viewers inside the page, each opened by a click, and the links to the others."""
    inside = "".join(
        html.details(
            case.title,
            html.paragraph(case.caption, "note") + isodose_legend(case.isodoses) + viewer(case, f"{key}{number}"),
        )
        for number, case in enumerate(viewers.inside)
    )
    links = html.links(viewers.links) if viewers.links else ""
    return inside + links
