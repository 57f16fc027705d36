"""Section of a report on groups of cases: by applicator, fraction, bladder volume and metal artefacts."""

from collections.abc import Iterator, Sequence

from gynbtnet.evaluation.cohorts.metal_artefacts import METAL_RULE
from gynbtnet.evaluation.cohorts.subgroups import crosstab
from gynbtnet.evaluation.metrics.score_table import printed_summary
from gynbtnet.evaluation.reports.model_results import ModelResults
from gynbtnet.evaluation.reports.sections.model_tables import csv_name, full_table, of_model, with_identifiers
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.pages import html_elements as html


def subgroups_section(results: Sequence[ModelResults], names: StructureNames) -> Iterator[str]:
    """Yield the DSC of each group, then all metrics of all groups; the tables open on a click.

    Args:
        results: results of each model.
        names: names of the structures.
    """
    yield html.paragraph(
        "Mean ± SD over the cases of a group. The bladder volume is that of the reference; the groups are its "
        f"tertiles. {METAL_RULE} Groups are small and not randomised: a difference between them raises a question and "
        "doesn't answer it.",
        "note",
    )
    for by, grouped in results[0].subgroups.groupby("by", sort=False):
        if grouped["group"].nunique() > 1:
            yield html.details(f"By {by}", _dsc_table(results, str(by), names))
        else:
            yield html.paragraph(f"By {by}: all cases are in one group, {grouped['group'].iloc[0]}.", "note")
    for model in results:
        rows = [
            [*map(str, key), *row]
            for key, table in model.subgroups.groupby(["by", "group"], sort=False)
            for row in with_identifiers(printed_summary(table)[1], table)
        ]
        yield full_table(
            f"All metrics of all groups{of_model(model)}",
            ["by", "group", *printed_summary(model.subgroups)[0]],
            rows,
            names,
            structure=2,
            numbers=slice(3, None),
            file=csv_name("subgroups", model),
        )


def _dsc_table(results: Sequence[ModelResults], by: str, names: StructureNames) -> str:
    """Return the DSC of each group and structure; the rows of all models for one group are next to each other."""
    several = len(results) > 1
    numbered: list[tuple[int, list[str]]] = []
    columns: list[str] = []
    for model in results:
        columns, rows = crosstab(model.subgroups, by, "dsc", names)
        numbered += [
            (number, [row[0], *([model.name] if several else []), *row[1:]]) for number, row in enumerate(rows)
        ]
    heads = [by, *(["model"] if several else []), *columns[1:5], *(f"{column}, DSC" for column in columns[5:])]
    rows = [row for _, row in sorted(numbered, key=lambda pair: pair[0])]
    return html.table(heads, rows, numbers=slice(2 if several else 1, None))
