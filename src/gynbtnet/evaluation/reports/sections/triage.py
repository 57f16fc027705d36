"""Section of a report on triage: which cases to review first."""

from collections.abc import Iterator, Sequence

from gynbtnet.evaluation.calibration.triage import Triage, triage_cells, triage_sentence
from gynbtnet.evaluation.reports.model_results import ModelResults
from gynbtnet.evaluation.reports.sections.model_tables import csv_name, part_of_model
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.pages import html_elements as html

RANKED = (
    "Cases are ranked by the lowest predicted DSC of their structures; a structure that was not found counts as 0. "
    "Precision: share of the reviewed cases that failed. Recall: share of the failed cases that are reviewed."
)


def triage_section(results: Sequence[ModelResults], names: StructureNames) -> Iterator[str]:
    """Yield sentence, table of shares and ranks of each model that is calibrated.

    Args:
        results: results of each model.
        names: names of the structures.
    """
    for model in results:
        if model.triage is not None:
            yield part_of_model(model, _ranks(model.triage, names, csv_name("triage", model)))


def _ranks(result: Triage, names: StructureNames, download: str) -> Iterator[str]:
    yield html.paragraph(triage_sentence(result))
    yield html.table(*triage_cells(result), numbers=slice(1, None))
    yield html.paragraph(RANKED, "note")
    heads = ["rank", "case", "lowest predicted DSC", "of", "lowest DSC", "failed"]
    rows = [
        [
            str(row["rank"]),
            str(row["case"]),
            f"{row['predicted_dsc']:.3f}",
            names.display_name(str(row["structure"])),
            f"{row['lowest_dsc']:.3f}",
            "yes" if row["failed"] else "no",
        ]
        for row in result.cases.to_dict("records")
    ]
    yield html.details(f"Every case in this order ({len(rows)})", html.table(heads, rows))
    yield html.csv_link(result.cases.to_csv(index=False), download)
