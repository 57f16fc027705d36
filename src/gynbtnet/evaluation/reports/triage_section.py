"""Section of the report page on triage: which cases to review first."""

from collections.abc import Iterator

from gynbtnet.evaluation.calibration.triage import Triage, triage_cells, triage_sentence
from gynbtnet.evaluation.reports import html_elements as html
from gynbtnet.imaging.structure_names import StructureNames

RANKED = (
    "Cases are ranked by the lowest predicted DSC of their structures; a structure that was not found counts as 0. "
    "Precision: share of the reviewed cases that failed. Recall: share of the failed cases that are reviewed."
)


def triage_section(result: Triage, names: StructureNames, download: str) -> Iterator[str]:
    """Yield sentence, table of shares and ranks as HTML.

    Args:
        result: the ranks.
        names: names of the structures.
        download: name of the CSV file that the page offers.
    """
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
