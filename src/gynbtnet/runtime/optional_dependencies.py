"""Libraries that only a part of the package needs: training, a baseline, a backend, a server."""

from importlib.util import find_spec

from gynbtnet.runtime.errors import BadInput

TRAINING_LIBRARIES = ("lightning_fabric", "batchgeneratorsv2", "tensorboard")
"""Modules of the extra ``gynbtnet[train]``."""

EXTRAS = {
    "train": (TRAINING_LIBRARIES, "pretrain, finetune, run, tune, benchmark"),
    "nnunet": (("nnunetv2",), "nnU-Net in benchmark"),
    "baselines": (("monai", "einops"), "Swin-UNETR in benchmark"),
    "cluster": (("distributed",), "--cluster"),
    "openvino": (("openvino",), "predict --backend openvino"),
    "onnx": (("onnx", "onnxscript", "onnxruntime"), "export --to onnx"),
    "review": (("starlette", "uvicorn"), "review, and STOW-RS of node"),
    "node": (("pynetdicom",), "node"),
    "gpu": (("triton",), "the kernels of pretrain on a GPU"),
}
"""Optional parts of the package: modules and what needs them, by extra."""


def installed(*libraries: str) -> bool:
    """Return True if all libraries are installed, without importing them."""
    return all(find_spec(library) is not None for library in libraries)


def require(extra: str, *libraries: str) -> None:
    """Check that ``libraries`` of the extra ``gynbtnet[extra]`` are installed, without importing them.

    Args:
        extra: name of the extra of this package that contains the libraries.
        *libraries: names of the modules to import.

    Raises:
        BadInput: If one isn't.
    """
    missing = [library for library in libraries if find_spec(library) is None]
    if missing:
        raise BadInput(
            f"This needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed; "
            f"install what it needs with `pip install gynbtnet[{extra}]`."
        )
