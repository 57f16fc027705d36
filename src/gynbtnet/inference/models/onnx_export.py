"""Export of a network as an ONNX file."""

import copy
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import torch

from gynbtnet.inference.models.model import Model
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput

MAX_WEIGHT_BYTES = 2**31 - 2**24  # a protobuf message is limited to 2 GiB; the graph takes a few MB of it


def export_onnx(model: Model, out: Path, *, force: bool = False, max_weight_bytes: int = MAX_WEIGHT_BYTES) -> Path:
    """Write the network as ONNX: ``image`` (batch, channels, z, y, x) of the plan's patch size to ``logits``.

    The batch size is variable. The file's metadata contains the plan as JSON, under ``plan``: spacing, normalisation
    and the order of the structures. A program that runs the file must prepare scans accordingly.

    Args:
        model: model to export.
        out: file to write.
        force: replace an existing file.
        max_weight_bytes: largest size of the weights that is exported.

    Returns:
        The file.

    Raises:
        BadInput: If ``out`` exists and ``force`` is not set, a package is missing, or the weights are too large for an
            ONNX file.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401 - torch's exporter needs it
    except ImportError as error:
        raise BadInput(
            f"ONNX files need {error.name}, which isn't installed; run pip install 'gynbtnet[onnx]'."
        ) from error
    if out.is_dir() or (out.exists() and not force):
        raise BadInput(f"{out} exists already; replace it with --force, or give another name.")
    size = sum(value.numel() * value.element_size() for value in model.network.state_dict().values())
    if size > max_weight_bytes:
        raise BadInput(
            f"The weights of {model.folder} take {size / 1e9:.1f} GB, but an ONNX file is limited to 2 GB; export a "
            "model of preset L or smaller."
        )
    network = copy.deepcopy(model.network).cpu().eval()
    image = torch.zeros(2, len(model.plan.channels), *model.plan.patch_size)
    batch = torch.export.Dim("batch", min=1)
    with _silent_exporter(), torch.no_grad(), atomic_write(out) as partial:
        program = torch.onnx.export(
            network,
            (image,),
            input_names=["image"],
            output_names=["logits"],
            dynamic_shapes={"image": {0: batch}},
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        proto = program.model_proto
        entries = {
            "plan": json.dumps(asdict(model.plan)),
            "weights_sha256": model.sha256,
            "notice": "Research use only.",
        }
        for key, value in entries.items():
            proto.metadata_props.add(key=key, value=value)
        onnx.save(proto, partial)
    return out


@contextmanager
def _silent_exporter() -> Iterator[None]:
    """Hide internal warnings of PyTorch's exporter, and restore the level of its log."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
