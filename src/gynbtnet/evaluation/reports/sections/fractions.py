"""Section of a report on the fractions of a patient: spread of DSC, and drift of volumes and centroids."""

from collections.abc import Iterator, Sequence

from gynbtnet.evaluation.cohorts.fraction_consistency import COLUMN_TITLES, reference_structure
from gynbtnet.evaluation.metrics.score_table import MISSING
from gynbtnet.evaluation.reports.model_results import ModelResults
from gynbtnet.evaluation.reports.sections.model_tables import (
    csv_name,
    format_value,
    full_table,
    part_of_model,
    with_display_names,
)
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.pages import html_elements as html


def fractions_section(results: Sequence[ModelResults], names: StructureNames) -> Iterator[str]:
    """Yield means over patients by structure, and every patient, for each model.

    Args:
        results: results of each model.
        names: names of the structures.
    """
    structures = dict.fromkeys(score.structure for score in results[0].evaluation.scores)
    reference = names.display_name(reference_structure(tuple(structures)))
    yield html.paragraph(
        "For each patient with several fractions: the spread of DSC over the fractions, and the drift of volume and "
        "centroid. A drift is the slope of a least-squares line. Organs move and fill by themselves; if the drift of "
        "the prediction differs from that of the reference, the model is the cause. Centroids are relative to the "
        f"centroid of {reference} in the reference of the same fraction.",
        "note",
    )
    for model in results:
        yield part_of_model(model, _parts(model, names))


def _parts(model: ModelResults, names: StructureNames) -> Iterator[str]:
    yield _by_structure(model, names)
    rows = [
        [
            format_value(value, 3 if name.startswith("dsc") else 2)
            for name, value in zip(COLUMN_TITLES, row, strict=True)
        ]
        for row in model.fraction_consistency.to_numpy().tolist()
    ]
    yield full_table(
        "Every patient and structure",
        list(COLUMN_TITLES.values()),
        rows,
        names,
        structure=1,
        numbers=slice(2, None),
        file=csv_name("consistency", model),
    )


def _by_structure(model: ModelResults, names: StructureNames) -> str:
    """Return one row per structure, with means over patients."""
    heads = ["structure", *MISSING, "patients", "mean SD of DSC within a patient", "largest SD of DSC within a patient"]
    heads += ["volume drift, |prediction − reference|, mean (cm³ per fraction)"]
    heads += ["centroid drift, |prediction − reference|, mean (mm per fraction)"]
    rows, counts = [], {row["structure"]: row for row in model.evaluation.summary.to_dict("records")}
    for structure, group in model.fraction_consistency.groupby("structure", sort=False):
        volume_drift = (group["prediction_cm3_drift"] - group["truth_cm3_drift"]).abs().mean()
        drifts = volume_drift, group["apart_mm_drift"].mean()
        spread = format_value(group["dsc_sd"].mean(), 3), format_value(group["dsc_sd"].max(), 3)
        missing = [str(int(counts[structure][name])) for name in MISSING]
        rows.append([str(structure), *missing, str(len(group)), *spread, *(format_value(drift, 2) for drift in drifts)])
    shown = with_display_names(rows, 0, names)
    return html.table(heads, shown, download=csv_name("consistency_by_structure", model), data=rows)
