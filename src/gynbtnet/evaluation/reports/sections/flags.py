"""Section of a report on failure flags: contours that were flagged, compared with contours that failed."""

import math
from collections.abc import Iterator, Sequence

from gynbtnet.evaluation.calibration.flag_accuracy import FlagAccuracy, flag_table_cells
from gynbtnet.evaluation.reports.model_results import ModelResults
from gynbtnet.evaluation.reports.sections.model_tables import csv_name, format_value, full_table, part_of_model
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.pages import html_elements as html


def flags_section(results: Sequence[ModelResults], names: StructureNames) -> Iterator[str]:
    """Yield the accuracy of the flags, and every contour that failed or was flagged, for each model with flags.

    Args:
        results: results of each model.
        names: names of the structures.
    """
    for model in results:
        if model.flags is not None:
            finding = _shares(model.flags)
            yield part_of_model(model, _parts(model, model.flags, finding, names), finding)


def _parts(model: ModelResults, flags: FlagAccuracy, finding: str, names: StructureNames) -> Iterator[str]:
    without = flags.n_cases_without_flags
    yield html.paragraph(
        f"Contours that the model itself flagged, compared with contours that failed. {finding}."
        + (f" Cases without a record of flags are left out: {without}." if without else "")
    )
    yield html.table(*flag_table_cells(flags))
    rows = [
        [
            str(row["case"]),
            str(row["structure"]),
            format_value(row["dsc"], 3),
            "yes" if row["failed"] else "no",
            str(row["flags"]) or "–",
        ]
        for row in flags.contours.to_dict("records")
        if row["failed"] or row["flagged"]
    ]
    yield full_table(
        "Every contour that failed or was flagged",
        ["case", "structure", "DSC", "failed", "flags"],
        rows,
        names,
        structure=1,
        numbers=slice(0),
        file=csv_name("flags", model),
    )


def _shares(flags: FlagAccuracy) -> str:
    shares = {
        "of the failures were flagged": flags.sensitivity,
        "of the good contours were not flagged": flags.specificity,
        "of the flagged contours failed": flags.precision,
    }
    known = (f"{100 * share:.0f} % {label}" for label, share in shares.items() if not math.isnan(share))
    return ", ".join(known) or "Nothing was scored"
