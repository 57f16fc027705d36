"""Weights from which stage 2 or 3 starts: of an earlier run, an exported encoder, STU-Net, or a network in nnU-Net."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from gynbtnet.networks.nnunet_weights import unique_weights
from gynbtnet.networks.stu_net import rename_stu_net
from gynbtnet.networks.torch_checkpoint import read_checkpoint
from gynbtnet.networks.transfer import Parts
from gynbtnet.networks.weights_file import check_finite, read_weights
from gynbtnet.preparation.planning.plan_files import load_plan
from gynbtnet.preparation.planning.settings import PlannedNetwork
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import read_json, sha256_of
from gynbtnet.training.run_folder import RunFolder

_KEYS = ("network_weights", "state_dict")  # of nnU-Net 2, nnssl and nnU-Net 1
_EXPECTED = "a checkpoint of STU-Net, nnU-Net or nnssl"
_CHECKPOINT = "checkpoint_final.pth"
_ENCODER = "encoder.safetensors"
_REMEDY = "export the encoder again with `gynbtnet export --to encoder`"


@dataclass(frozen=True)
class StartingWeights:
    """Weights of an earlier training, with GynBTNet's parameter names.

    Attributes:
        sha256: SHA-256 of their file.
        weights: tensors by name.
        parts: parts of the network that are taken over.
        channels: input channels of the earlier training; None if unknown.
    """

    sha256: str
    weights: Mapping[str, Tensor]
    parts: Parts
    channels: tuple[str, ...] | None = None


def read_starting_weights(
    start: Path, network: PlannedNetwork = "gynbtnet", structures: tuple[str, ...] | None = None
) -> StartingWeights:
    """Read the weights to start from; nothing in any file is executed.

    Args:
        start: one of these. A run folder of an earlier stage, whose last weights are read. A folder that ``gynbtnet
            export --to encoder`` wrote. A ``.model`` or ``.pth`` file of STU-Net, nnU-Net or nnssl. A folder that
            nnU-Net trained, of which the first fold is read.
        network: network of the plan.
        structures: structures of the plan, if their heads are taken over too; None: new heads.

    Raises:
        BadInput: If there are no weights, a file is damaged, or its network isn't that of the plan. Also if heads are
            to be taken over and ``start`` isn't a run folder with the same structures.
    """
    if structures is not None:
        return _with_heads(start, structures)
    if start.is_file():
        return _from_checkpoint(start, network)
    if (start / _ENCODER).is_file():
        return _from_encoder(start)
    folds = sorted(start.glob(f"fold_*/{_CHECKPOINT}"))
    if folds:
        return _from_checkpoint(folds[0], network)
    path = _last_weights(start)
    plan = load_plan(start)
    parts: Parts = "all_but_heads" if plan.structures else "encoder"
    return StartingWeights(sha256_of(path), read_weights(path), parts, plan.channels)


def _last_weights(run: Path) -> Path:
    path = RunFolder(run).last_weights
    if not path.is_file():
        raise BadInput(f"There is no {path}; expected the folder of a training run that has ended.")
    return path


def _with_heads(start: Path, structures: tuple[str, ...]) -> StartingWeights:
    """Return all weights of a run; its heads belong to its own structures, in their order."""
    path, plan = _last_weights(start), load_plan(start)
    if plan.structures != structures:
        raise BadInput(
            f"The model in {start} has the structures {', '.join(plan.structures) or '(none)'}, but the plan has "
            f"{', '.join(structures)}; its heads can be kept only for the same structures in the same order."
        )
    return StartingWeights(sha256_of(path), read_weights(path), "all", plan.channels)


def _from_encoder(folder: Path) -> StartingWeights:
    path = folder / _ENCODER
    description = read_json(dict[str, Any], folder / "encoder.json", _REMEDY)
    channels = description.get("input_channels")
    if not isinstance(channels, list) or not all(isinstance(name, str) for name in channels):
        raise BadInput(f"{folder / 'encoder.json'} names no input_channels; {_REMEDY}.")
    weights = {f"encoder.{name}": value for name, value in read_weights(path).items()}
    return StartingWeights(sha256_of(path), weights, "encoder", tuple(channels))


def _from_checkpoint(path: Path, network: PlannedNetwork) -> StartingWeights:
    content = read_checkpoint(path, _EXPECTED)
    stored = next((content[key] for key in _KEYS if isinstance(content, Mapping) and key in content), None)
    if not isinstance(stored, Mapping):
        raise BadInput(f"{path} has no weights under {' or '.join(_KEYS)}; expected {_EXPECTED}.")
    weights = {re.sub(r"^network\.", "", name): value for name, value in unique_weights(stored).items()}
    if network == "nnunet":
        return _of_nnunet(path, weights)
    if any(name.startswith("conv_blocks_context.") for name in weights):
        weights = rename_stu_net(weights)
    elif not any(name.startswith("encoder.levels.") for name in weights):
        raise BadInput(
            f"{path} holds another network than GynBTNet or STU-Net ({next(iter(weights), 'empty')}): its filters "
            "fit no layer of this plan. To train on with that network, plan with `gynbtnet plan --like FOLDER`."
        )
    check_finite(weights, path)
    has_decoder = any(name.startswith("decoder.levels.") for name in weights)
    return StartingWeights(sha256_of(path), weights, "all_but_heads" if has_decoder else "encoder")


def _of_nnunet(path: Path, weights: Mapping[str, Tensor]) -> StartingWeights:
    """Return weights of nnU-Net's network, or of its encoder alone as nnssl pretrains it."""
    if not any(name.startswith("encoder.st") for name in weights):
        raise BadInput(
            f"{path} holds another network than nnU-Net's ({next(iter(weights), 'empty')}), but the plan is for one of "
            "nnU-Net; give the folder that the plan was made like."
        )
    check_finite(weights, path)
    has_decoder = any(name.startswith("decoder.stages.") for name in weights)
    return StartingWeights(sha256_of(path), weights, "all_but_heads" if has_decoder else "encoder")
