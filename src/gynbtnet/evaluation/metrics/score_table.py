"""Tables of scores: one row per case and structure, and their summary as mean ± SD and median [IQR]."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import pandas as pd

from gynbtnet.evaluation.metrics.metrics import MissingIn, Score
from gynbtnet.evaluation.metrics.settings import ScoringSettings
from gynbtnet.imaging.structure_names import StructureNames

METRICS = {
    "dsc": "DSC",
    "hd95_mm": "HD95 (mm)",
    "asd_mm": "ASD (mm)",
    "surface_dsc": "surface DSC",
    "hausdorff_mm": "Hausdorff (mm)",
    "volume_difference_cm3": "volume difference (cm³)",
    "centroid_shift_mm": "centroid shift (mm)",
    "added_path_length_mm": "added path length (mm)",
    "added_path_length_share": "added path length, share",
    "added_path_length_1_voxel_mm": "added path length beyond 1 voxel (mm)",
    "added_path_length_1_voxel_share": "added path length beyond 1 voxel, share",
}
DECIMALS = {
    "dsc": 3,
    "hd95_mm": 1,
    "asd_mm": 2,
    "surface_dsc": 3,
    "hausdorff_mm": 1,
    "volume_difference_cm3": 1,
    "centroid_shift_mm": 1,
    "added_path_length_mm": 0,
    "added_path_length_share": 3,
    "added_path_length_1_voxel_mm": 0,
    "added_path_length_1_voxel_share": 3,
}
COUNTS: Mapping[str, tuple[MissingIn, ...]] = {
    "missed": ("prediction",),
    "false": ("truth",),
    "absent": ("both",),
    "unknown": ("unknown", "unpredicted"),
}
"""Counts of a summary, by the values of ``Score.missing_in``."""
SHOWN_METRICS = ("dsc", "hd95_mm", "asd_mm", "surface_dsc")
"""Metrics that `gynbtnet evaluate` prints on a terminal."""
MISSING = ("missed", "false")
"""Counts that are the first columns of every table of scores."""
PRINTED_COUNTS = (*MISSING, "cases", "patients", "absent", "unknown")
"""Counts in the order of a printed summary, before the metrics."""
ALL_STRUCTURES = "mean over structures"
_POLICY_SENTENCES = {
    "worst": "Missed and false structures are scored: DSC and surface DSC are 0, and every distance is the largest "
    "that the case allows. The added path length is the whole contour.",
    "diagonal": "Missed and false structures are scored: DSC and surface DSC are 0, and every distance is the diagonal "
    "of the scan. The added path length is the whole contour.",
    "drop": "Missed and false structures are not scored. These means therefore include only structures that were found "
    "and look better than the contours are: read them with the counts.",
}


_SURFACE_SENTENCES = {
    "voxels": "Surface DSC is the share of both surfaces' voxels within {} of the other surface.",
    "mesh": "Surfaces are meshes between voxel centres, weighted by area. Surface DSC is the share of both surfaces' "
    "area within {} of the other surface.",
}


def _tolerances(settings: ScoringSettings) -> str:
    """Return the tolerances for people."""
    names = StructureNames.load()
    special = ", ".join(f"{names.display_name(name)} {value:g}" for name, value in settings.tolerances_mm.items())
    return f"{settings.tolerance_mm:g} mm" + (f" (in mm: {special})" if special else "")


def scoring_note(settings: ScoringSettings) -> str:
    """Return the text below every table: definitions of the metrics and scores of missing structures."""
    return (
        "Mean ± SD; median [quartiles] over cases. Higher is better for DSC and surface DSC. Lower is better for HD95 "
        "(the larger of the two directed 95th percentiles), "
        "ASD (pooled over both surfaces), Hausdorff distance and centroid shift. The "
        "volume difference is prediction minus reference; 0 is best. The added path length is the length of the "
        "reference's contours that the prediction lacks, in slices; lower is better. "
        f"{_SURFACE_SENTENCES[settings.surface].format(_tolerances(settings))} Missed: in the reference, not "
        f"predicted. False: predicted, not in the reference. {_POLICY_SENTENCES[settings.missing_structure_policy]} "
        "Absent: in neither, not scored. Unknown: not contoured in the case's source, or not in the prediction's "
        "files, not even empty; not scored. Fractions of one patient are not independent: the number of patients, not "
        "of cases, determines how certain the means are."
    )


def score_table(scores: Sequence[Score]) -> pd.DataFrame:
    """Return a table with one row per score, in the order given; its columns are the fields of :class:`Score`."""
    columns = [field.name for field in fields(Score)]
    return pd.DataFrame([[getattr(score, name) for name in columns] for score in scores], columns=columns)


def summarise_scores(scores: Sequence[Score], settings: ScoringSettings | None = None) -> pd.DataFrame:
    """Summarise scores over cases: one row per structure, then the mean over structures.

    The mean over structures has no SD and no median. It is NaN if the policy drops every case of a structure,
    since leaving out the hardest structure would improve it.

    Args:
        scores: scores of all cases.
        settings: settings that the scores were computed with.

    Returns:
        A table with these columns:

        - ``structure``.
        - ``missed`` (only in the truth) and ``false`` (only in the prediction), scored according to the policy.
        - ``cases`` and ``patients`` that were scored.
        - ``absent`` (in neither) and ``unknown`` (not contoured in the source, or not in the prediction's files), not
          scored.
        - ``<metric>_mean``, ``_sd`` (sample SD, NaN for one case), ``_median``, ``_q1`` and ``_q3`` of each metric.
        - ``missing_structure_policy``, ``tolerance_mm`` (of the structure) and ``surface``.
    """
    settings = settings or ScoringSettings()
    table = score_table(scores)
    rows = []
    for structure, group in table.groupby("structure", sort=False):
        scored = group[group["dsc"].notna()]
        counts = {name: int(group["missing_in"].isin(sides).sum()) for name, sides in COUNTS.items()}
        counts |= {"cases": len(scored), "patients": scored["patient"].nunique()}
        row: dict[str, object] = {"structure": structure}
        row |= {name: counts[name] for name in PRINTED_COUNTS}
        for metric in METRICS:
            row |= {f"{metric}_{name}": value for name, value in describe_values(scored[metric]).items()}
        rows.append(row)
    summary = pd.DataFrame(rows)
    scored = table[table["dsc"].notna()]
    overall = {"structure": ALL_STRUCTURES, "cases": scored["case"].nunique(), "patients": scored["patient"].nunique()}
    lost_structure = ((summary["cases"] == 0) & (summary["missed"] + summary["false"] > 0)).any()
    overall |= {
        f"{metric}_mean": float("nan") if lost_structure else summary[f"{metric}_mean"].mean() for metric in METRICS
    }
    overall |= {name: summary[name].sum() for name in COUNTS}
    summary = pd.concat([summary, pd.DataFrame([overall])], ignore_index=True)
    settings_rows = pd.DataFrame([settings.columns_of(str(structure)) for structure in summary["structure"]])
    if settings.tolerances_mm:  # the mean over structures has no single tolerance
        settings_rows.loc[settings_rows.index[-1], "tolerance_mm"] = float("nan")
    return pd.concat([summary, settings_rows], axis=1)


def describe_values(values: pd.Series) -> dict[str, float]:
    """Return ``mean``, ``sd`` (sample SD), ``median``, ``q1`` and ``q3`` of values; NaN if undefined."""
    low, median, high = values.quantile([0.25, 0.5, 0.75])
    return {"mean": values.mean(), "sd": values.std(), "median": median, "q1": low, "q3": high}


def printed_summary(summary: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Return a summary for people: column heads, and rows of text.

    After the structure and the counts there is a column per metric, with ``mean ± SD; median [quartiles]``.
    """
    names = StructureNames.load()
    tolerances = summary["tolerance_mm"].unique()
    tolerance = f"{tolerances[0]:g} mm" if len(tolerances) == 1 else "tolerance by structure"
    labels = METRICS | {"surface_dsc": f"surface DSC, {tolerance}"}
    rows = [
        [
            names.display_name(str(row["structure"])),
            *(str(int(row[count])) for count in PRINTED_COUNTS),
            *(_mean_and_median(row, metric) for metric in METRICS),
        ]
        for row in summary.to_dict("records")
    ]
    return ["structure", *PRINTED_COUNTS, *labels.values()], rows


def markdown_table(summary: pd.DataFrame) -> str:
    """Return a summary as a Markdown table."""
    heads, rows = printed_summary(summary)
    lines = [" | ".join(cells) for cells in (heads, ["---", *["---:"] * (len(heads) - 1)], *rows)]
    return "".join(f"| {line} |\n" for line in lines)


def _mean_and_median(row: dict[Hashable, Any], metric: str) -> str:
    median = median_and_quartiles(row, metric)
    return mean_and_sd(row, metric) + ("" if median == "–" else f"; {median}")


def median_and_quartiles(row: Mapping[Any, Any], metric: str) -> str:
    """Return ``0.850 [0.812, 0.881]`` of a row of a summary; a dash if nothing was scored or the row is a mean."""
    median, low, high = (row.get(f"{metric}_{name}", float("nan")) for name in ("median", "q1", "q3"))
    decimals = DECIMALS[metric]
    return "–" if pd.isna(median) else f"{median:z.{decimals}f} [{low:z.{decimals}f}, {high:z.{decimals}f}]"


def mean_and_sd(row: Mapping[Any, Any], metric: str) -> str:
    """Return ``0.842 ± 0.051``; the mean alone if the SD is undefined; a dash if nothing was scored."""
    mean, sd, decimals = row[f"{metric}_mean"], row[f"{metric}_sd"], DECIMALS[metric]
    if pd.isna(mean):
        return "–"
    return f"{mean:z.{decimals}f}" if pd.isna(sd) else f"{mean:z.{decimals}f} ± {sd:.{decimals}f}"
