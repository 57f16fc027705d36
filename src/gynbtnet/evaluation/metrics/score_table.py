"""Tables of scores: one row per case and structure, and their summary as mean ± SD."""

from collections.abc import Hashable, Sequence
from dataclasses import fields
from typing import Any

import pandas as pd

from gynbtnet.evaluation.metrics.metrics import Score
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
}
DECIMALS = {
    "dsc": 3,
    "hd95_mm": 1,
    "asd_mm": 2,
    "surface_dsc": 3,
    "hausdorff_mm": 1,
    "volume_difference_cm3": 1,
    "centroid_shift_mm": 1,
}
COUNTS = {"missed": "prediction", "false": "truth", "absent": "both", "unknown": "unknown"}
"""Counts of a summary, by the value of ``Score.missing_in``."""
ALL_STRUCTURES = "mean over structures"
_POLICY_SENTENCES = {
    "worst": "Missed and false structures are scored: DSC and surface DSC are 0, and every distance is the largest "
    "that the case allows.",
    "diagonal": "Missed and false structures are scored: DSC and surface DSC are 0, and every distance is the diagonal "
    "of the scan.",
    "drop": "Missed and false structures are not scored. These means therefore include only structures that were found "
    "and look better than the contours are: read them with the counts.",
}


def scoring_note(settings: ScoringSettings) -> str:
    """Return the text below every table: definitions of the metrics and scores of missing structures."""
    return (
        "Mean ± SD over cases. Higher is better for DSC and surface DSC. Lower is better for HD95 (the larger of the "
        "two directed 95th percentiles), ASD (pooled over both surfaces), Hausdorff distance and centroid shift. The "
        "volume difference is prediction minus truth; 0 is best. Surface DSC is the share of both surfaces' voxels "
        f"within {settings.tolerance_mm:g} mm of the other surface. Missed: in the truth, not predicted. False: "
        f"predicted, not in the truth. {_POLICY_SENTENCES[settings.missing_structure_policy]} Absent: in neither, not "
        "scored. Unknown: not contoured in the case's source, so that the prediction cannot be judged; not scored. "
        "Fractions of one patient are not independent: the number of patients, not of cases, determines how certain "
        "the means are."
    )


def score_table(scores: Sequence[Score]) -> pd.DataFrame:
    """Return a table with one row per score, in the order given; its columns are the fields of :class:`Score`."""
    columns = [field.name for field in fields(Score)]
    return pd.DataFrame([[getattr(score, name) for name in columns] for score in scores], columns=columns)


def summarise_scores(scores: Sequence[Score], settings: ScoringSettings | None = None) -> pd.DataFrame:
    """Summarise scores as mean and SD over cases: one row per structure, then the mean over structures.

    The mean over structures has no SD. It is NaN if the policy drops every case of a structure, since leaving out the
    hardest structure would improve it.

    Args:
        scores: scores of all cases.
        settings: settings that the scores were computed with.

    Returns:
        A table with these columns:

        - ``structure``.
        - ``<metric>_mean`` and ``<metric>_sd`` of each metric (sample SD, NaN for one case).
        - ``cases`` and ``patients`` that were scored.
        - ``missed`` (only in the truth) and ``false`` (only in the prediction), scored according to the policy.
        - ``absent`` (in neither) and ``unknown`` (not contoured in the source), not scored.
        - ``missing_structure_policy`` and ``tolerance_mm``.
    """
    settings = settings or ScoringSettings()
    table = score_table(scores)
    rows = []
    for structure, group in table.groupby("structure", sort=False):
        scored = group[group["dsc"].notna()]
        row: dict[str, object] = {"structure": structure}
        for metric in METRICS:
            row[f"{metric}_mean"], row[f"{metric}_sd"] = scored[metric].mean(), scored[metric].std()
        row |= {"cases": len(scored), "patients": scored["patient"].nunique()}
        row |= {name: int((group["missing_in"] == side).sum()) for name, side in COUNTS.items()}
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
    return summary.assign(**settings.model_dump())


def printed_summary(summary: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Return a summary for people: column heads, and rows of text with mean ± SD in one cell."""
    names = StructureNames.load()
    counts = ["cases", "patients", *COUNTS]
    labels = METRICS | {"surface_dsc": f"surface DSC, {summary['tolerance_mm'].iloc[0]:g} mm"}
    rows = [
        [
            names.display_name(str(row["structure"])),
            *(_mean_and_sd(row, metric) for metric in METRICS),
            *(str(int(row[count])) for count in counts),
        ]
        for row in summary.to_dict("records")
    ]
    return ["structure", *labels.values(), *counts], rows


def markdown_table(summary: pd.DataFrame) -> str:
    """Return a summary as a Markdown table."""
    heads, rows = printed_summary(summary)
    lines = [" | ".join(cells) for cells in (heads, ["---", *["---:"] * (len(heads) - 1)], *rows)]
    return "".join(f"| {line} |\n" for line in lines)


def _mean_and_sd(row: dict[Hashable, Any], metric: str) -> str:
    """Return ``0.842 ± 0.051``; the mean alone if the SD is undefined; a dash if nothing was scored."""
    mean, sd, decimals = row[f"{metric}_mean"], row[f"{metric}_sd"], DECIMALS[metric]
    if pd.isna(mean):
        return "–"
    return f"{mean:z.{decimals}f}" if pd.isna(sd) else f"{mean:z.{decimals}f} ± {sd:.{decimals}f}"
