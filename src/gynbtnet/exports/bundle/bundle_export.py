"""Export of a model as a MONAI Bundle that runs without GynBTNet."""

import json
from pathlib import Path

from safetensors.torch import save_file

from gynbtnet.exports.bundle.bundle_config import bundle_metadata, inference_config
from gynbtnet.exports.card.model_card import ModelCard
from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.inference.models.model import Model
from gynbtnet.inference.models.model_archive import CARD
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput

_SCRIPTS = ("__init__", "network", "body", "preprocessing", "inferer", "postprocessing", "evaluator")
_OURS = {"configs", "models", "docs", "scripts", CARD}
_MARK = Path("scripts") / "evaluator.py"
_LICENCE = """Code in the folder scripts: Apache License, Version 2.0, https://www.apache.org/licenses/LICENSE-2.0
Weights in the folder models: {licence}
"""


def export_bundle(
    model: Model, out: Path, card: ModelCard, *, settings: PredictionSettings | None = None, force: bool = False
) -> Path:
    """Write a MONAI Bundle: ``python -m monai.bundle run --config_file configs/inference.json`` predicts with it.

    The folder ``scripts`` has the network in plain PyTorch, and the preparation and the sliding window as MONAI
    components. Therefore the bundle needs MONAI, SciPy, NiBabel and safetensors, and not GynBTNet. Weights are a
    safetensors file; there is no pickle. Post-processing rules, flags and predicted DSC are not included.

    Args:
        model: GynBTNet model of one CT channel.
        out: folder to write.
        card: model card, which becomes ``docs/README.md``.
        settings: overlap, mirroring and region; None: the defaults. The region "pelvis" becomes "body".
        force: replace an earlier bundle.

    Returns:
        The folder.

    Raises:
        BadInput: If the network is not GynBTNet, the model reads several channels, or ``out`` contains anything except
            an earlier bundle that ``force`` may replace.
    """
    plan = model.plan
    if plan.network != "gynbtnet" or len(plan.channels) > 1:
        raise BadInput(
            f"{model.folder} is a {model.title} model of {len(plan.channels)} channels; a bundle can be made of a "
            "GynBTNet model of one CT."
        )
    _check(out, force)
    licence = card.licence or "licence not stated"
    metadata = bundle_metadata(plan, card.name, licence, synthetic=card.synthetic)
    configs = {"inference": inference_config(plan, settings or PredictionSettings()), "metadata": metadata}
    with atomic_write(out) as partial:
        for name in ("configs", "models", "docs", "scripts"):
            (partial / name).mkdir(parents=True)
        for name, content in configs.items():
            text = json.dumps(content, indent=2, ensure_ascii=False)
            (partial / "configs" / f"{name}.json").write_text(text, encoding="utf-8")
        weights = {name: value.cpu().contiguous() for name, value in model.network.state_dict().items()}
        save_file(weights, partial / "models" / "model.safetensors")
        for path in (partial / CARD, partial / "docs" / "README.md"):
            path.write_text(card.text, encoding="utf-8")
        (partial / "docs" / "license.txt").write_text(_LICENCE.format(licence=licence), encoding="utf-8")
        for name in _SCRIPTS:
            source = Path(__file__).with_name("scripts") / f"{name}.py"
            (partial / "scripts" / source.name).write_bytes(source.read_bytes())
    return out


def _check(out: Path, force: bool) -> None:
    if out.is_file():
        raise BadInput(f"{out} is a file; a bundle is a folder, give another name.")
    names = sorted(path.name for path in out.glob("[!.]*"))
    others = [name for name in names if name not in _OURS]
    is_bundle = (out / _MARK).is_file()
    if others:
        raise BadInput(f"{out} contains {others[0]!r}, which isn't part of a bundle; give another folder.")
    if names and not is_bundle:
        raise BadInput(f"{out} contains {names[0]!r}, but no bundle; give another folder.")
    if is_bundle and not force:
        raise BadInput(f"{out} contains an earlier bundle; replace it with --force, or give another folder.")
