"""Section of a report on the data: groups of cases, their plots, and notes."""

from collections.abc import Iterator, Sequence

import pandas as pd

from gynbtnet.pages import html_elements as html
from gynbtnet.pictures.picture import Picture


def data_section(
    cohort: pd.DataFrame, pictures: Sequence[Picture], notes: Sequence[str], *, several_models: bool
) -> Iterator[str]:
    """Yield the table of the groups, their plots and the notes.

    Args:
        cohort: one row per group of cases.
        pictures: plots of the groups.
        notes: properties of the data, one sentence each.
        several_models: whether the page compares models.
    """
    rows = ([str(value) for value in row] for row in cohort.to_numpy())
    yield html.table([str(name) for name in cohort.columns], rows, numbers=slice(2, None))
    if pictures:
        rendered = html.figure(pictures, "")
        yield html.screen_only(rendered) if several_models else rendered
    if notes:
        yield html.bullets(notes)
