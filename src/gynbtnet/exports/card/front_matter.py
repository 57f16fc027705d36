"""YAML front matter of a model card, as the Hugging Face hub reads it.

Source: the hub's specification of model card metadata, https://github.com/huggingface/hub-docs/blob/main/modelcard.md.
"""

from typing import Any

import yaml

from gynbtnet.exports.card.card_sources import CardSources
from gynbtnet.exports.card.evaluated_structures import ModelEvaluation
from gynbtnet.runtime.phrases import enumeration

TASK = "image-segmentation"
"""Name of the task on the hub."""
_TAGS = ("medical", "radiotherapy", "brachytherapy", TASK, "pytorch", "safetensors")


def front_matter(sources: CardSources, library: str) -> str:
    """Return the front matter, between its two lines of dashes.

    ``model-index`` has the mean DSC and the median HD95 of each structure; it is absent without an evaluation. Without
    a stated licence, the licence is ``unknown``, which is a name that the hub accepts.

    Args:
        sources: facts, answers and evaluation of the model.
        library: name of the library that runs the model.
    """
    structures = tuple(name.replace("_", "-") for name in sources.facts.plan.structures)
    channels = (name.strip().lower().replace(" ", "-") for name in sources.facts.plan.channels)
    synthetic = ("synthetic-data",) if sources.facts.synthetic else ()
    content: dict[str, Any] = {
        "language": ["en"],
        "license": sources.answers.texts.get("license", "unknown").lower(),
        "library_name": library,
        "pipeline_tag": TASK,
        "tags": [*_TAGS, *channels, *structures, *synthetic],
    }
    if sources.evaluation is not None:
        content["metrics"] = ["dice", "hausdorff-95"]
        content["model-index"] = [{"name": sources.name, "results": [_result(sources, sources.evaluation)]}]
    return f"---\n{yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)}---\n"


def _result(sources: CardSources, evaluation: ModelEvaluation) -> dict[str, Any]:
    kind = "cross-validation" if evaluation.is_cross_validation else "evaluation"
    metrics = []
    for row in evaluation.structures:
        name = sources.names.display_name(row.structure)
        metrics.append({"type": "dice", "name": f"DSC, {name}", "value": round(row.dsc, 4)})
        metrics.append({"type": "hausdorff-95", "name": f"HD95 in mm, {name}", "value": round(row.hd95_mm, 2)})
    data = f"{'synthetic ' if sources.facts.synthetic else ''}{enumeration(sources.facts.plan.channels)}"
    return {
        "task": {"type": TASK, "name": "Contouring for gynecologic brachytherapy"},
        "dataset": {"type": "private", "name": f"{data}, {kind}"},
        "metrics": metrics,
    }
