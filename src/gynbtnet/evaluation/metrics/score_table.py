"""Scores as tables: one row a case and structure, and their summary as mean ± SD."""

from collections.abc import Hashable, Sequence
from dataclasses import fields
from typing import Any

import pandas as pd

from gynbtnet.evaluation.metrics.metrics import Score
from gynbtnet.evaluation.metrics.settings import ScoringSettings

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
"""What a summary counts, and who lacks the structure then."""
ALL_STRUCTURES = "mean over structures"
_COST = {
    "worst": "Both are scored, at DSC and surface DSC 0 and the worst distance that the case allows.",
    "diagonal": "Both are scored, at DSC and surface DSC 0 and the diagonal of the scan as every distance.",
    "drop": "Neither is scored here, so that these means are of found structures alone and look better than the "
    "contours are: read them with the counts.",
}


def scoring_sentence(settings: ScoringSettings) -> str:
    """What stands below every table: what the figures are, and what the policy makes of missing structures."""
    return (
        "Mean ± SD over cases. DSC and surface DSC are better when higher; HD95 (the larger of the two directed 95th "
        "percentiles), ASD (pooled over both surfaces), Hausdorff and centroid shift when lower; the volume "
        "difference, prediction minus truth, when near 0. Surface DSC: the share of both surfaces' voxels within "
        f"{settings.tolerance_mm:g} mm of the other surface. Missed: in the truth, not predicted. False: predicted, "
        f"not in the truth. {_COST[settings.policy]} Absent in both: not scored. Unknown: not contoured in the case's "
        "source, so that nobody can say what is right: not scored. Fractions of one patient are not independent, so "
        "the number of patients is what the spread rests on."
    )


def score_table(scores: Sequence[Score]) -> pd.DataFrame:
    """One row a score, columns as :class:`Score` names them, in the order given."""
    columns = [field.name for field in fields(Score)]
    return pd.DataFrame([[getattr(one, name) for name in columns] for one in scores], columns=columns)


def summarise(scores: Sequence[Score], settings: ScoringSettings | None = None) -> pd.DataFrame:
    """Mean and SD over cases of every metric, a row per structure, then the mean over structures.

    Columns: structure; for each metric ``<metric>_mean`` and ``<metric>_sd`` (sample SD, NaN for one case); ``cases``
    and ``patients`` that were scored; ``missed`` (in the truth alone) and ``false`` (in the prediction alone), both of
    which are scored as the policy says; ``absent`` (in neither) and ``unknown`` (the truth says nothing), which are
    not; ``policy`` and ``tolerance_mm`` of the ``settings`` that the scores were made with. The last row holds the mean
    of the structures' means, without an SD, and the sums of the counts of structures; it has no mean where the policy
    drops every case of a structure, since leaving out the hardest structure would make it better.
    """
    settings = settings or ScoringSettings()
    table = score_table(scores)
    rows = []
    for structure, of_structure in table.groupby("structure", sort=False):
        scored = of_structure[of_structure["dsc"].notna()]
        row: dict[str, object] = {"structure": structure}
        for metric in METRICS:
            row[f"{metric}_mean"], row[f"{metric}_sd"] = scored[metric].mean(), scored[metric].std()
        row |= {"cases": len(scored), "patients": scored["patient"].nunique()}
        row |= {name: int((of_structure["missed"] == who).sum()) for name, who in COUNTS.items()}
        rows.append(row)
    summary = pd.DataFrame(rows)
    scored = table[table["dsc"].notna()]
    overall = {"structure": ALL_STRUCTURES, "cases": scored["case"].nunique(), "patients": scored["patient"].nunique()}
    dropped_whole = ((summary["cases"] == 0) & (summary["missed"] + summary["false"] > 0)).any()
    overall |= {
        f"{metric}_mean": float("nan") if dropped_whole else summary[f"{metric}_mean"].mean() for metric in METRICS
    }
    overall |= {name: summary[name].sum() for name in COUNTS}
    summary = pd.concat([summary, pd.DataFrame([overall])], ignore_index=True)
    return summary.assign(policy=settings.policy, tolerance_mm=settings.tolerance_mm)


def printed_summary(summary: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """A summary as people read it: the columns' names, and the rows as text with mean ± SD in one cell."""
    counts = ["cases", "patients", *COUNTS]
    heads = METRICS | {"surface_dsc": f"surface DSC, {summary['tolerance_mm'].iloc[0]:g} mm"}
    rows = [
        [str(row["structure"]), *(_mean_and_sd(row, metric) for metric in METRICS), *(str(int(row[n])) for n in counts)]
        for row in summary.to_dict("records")
    ]
    return ["structure", *heads.values(), *counts], rows


def markdown_table(summary: pd.DataFrame) -> str:
    """A summary as a Markdown table."""
    heads, rows = printed_summary(summary)
    lines = [" | ".join(cells) for cells in (heads, ["---", *["---:"] * (len(heads) - 1)], *rows)]
    return "".join(f"| {line} |\n" for line in lines)


def _mean_and_sd(row: dict[Hashable, Any], metric: str) -> str:
    """``0.842 ± 0.051``; the mean alone where there is no SD; a dash where nothing was scored."""
    mean, sd, decimals = row[f"{metric}_mean"], row[f"{metric}_sd"], DECIMALS[metric]
    if pd.isna(mean):
        return "–"
    return f"{mean:z.{decimals}f}" if pd.isna(sd) else f"{mean:z.{decimals}f} ± {sd:.{decimals}f}"
