"""A model as an ONNX file."""

import json
import logging
import warnings
from dataclasses import asdict
from pathlib import Path

import torch

from gynbtnet.inference.models.model import Model
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput

MAX_WEIGHT_BYTES = 2**31 - 2**24  # a protobuf message ends at 2 GiB; what isn't weights takes a few MB


def export_onnx(model: Model, out: Path, *, force: bool = False, max_weight_bytes: int = MAX_WEIGHT_BYTES) -> Path:
    """Write the network alone as ONNX: ``image`` (batch, channels, z, y, x) of the plan's patch to ``logits``.

    The batch may be of any size. Spacing, normalisation and the structures' order stand in the file's metadata, under
    ``plan``, as JSON: what runs the file has to do as the plan says.

    Raises:
        BadInput: where a file stands at ``out`` and not ``force``, the packages are absent, or the weights take more
            than an ONNX file holds.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401 - torch's exporter needs it
    except ImportError as error:
        raise BadInput(
            f"ONNX files need {error.name}, which isn't installed; install it with pip install 'gynbtnet[onnx]'."
        ) from error
    if out.is_dir() or (out.exists() and not force):
        raise BadInput(f"{out} stands there already; replace the file with --force, or give another name.")
    size = sum(value.numel() * value.element_size() for value in model.network.state_dict().values())
    if size > max_weight_bytes:
        raise BadInput(
            f"The weights of {model.folder} take {size / 1e9:.1f} GB, and an ONNX file holds at most 2; presets up to "
            "L are exported."
        )
    network = model.network.cpu().eval()
    image = torch.zeros(2, len(model.plan.channels), *model.plan.patch_size)
    batch = torch.export.Dim("batch", min=1)
    with warnings.catch_warnings(), torch.no_grad(), atomic_write(out) as partial:
        warnings.simplefilter("ignore")  # the exporter's, about its own workings
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
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
