"""PyTorch checkpoints read without executing anything in them."""

from _codecs import encode
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch

from gynbtnet.runtime.errors import BadInput

# nnU-Net's checkpoints also contain numbers and arrays of numpy. These functions rebuild such values and can do nothing
# else. numpy's own modules have two names: before version 2 and since.
_scalar, _reconstruct = np.float64(0).__reduce__()[0], np.zeros(1).__reduce__()[0]
_NUMBERS = (np.float64, np.float32, np.float16, np.int64, np.int32, np.int16, np.int8, np.uint8, np.bool_)
_SAFE_GLOBALS: list[Any] = [
    *((_scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    *((_reconstruct, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
    np.ndarray,
    np.dtype,
    *(type(np.dtype(kind)) for kind in _NUMBERS),
    encode,
]


def read_checkpoint(path: Path, expected: str) -> Any:
    """Read a file that ``torch.save`` wrote, if it holds only tensors, numbers, strings and their containers.

    Args:
        path: the checkpoint. Nothing in it is executed.
        expected: the expected file, as the end of a sentence.

    Returns:
        The content; tensors are on the CPU.

    Raises:
        BadInput: If the file is absent, damaged, not such a checkpoint, or holds any other object.
    """
    if not path.is_file():
        raise BadInput(f"There is no file {path}; expected {expected}.")
    try:
        with torch.serialization.safe_globals(_SAFE_GLOBALS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise BadInput(
            f"{path} was not read: it is not a PyTorch checkpoint, or contains objects that would run code; expected "
            f"{expected}."
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise BadInput(f"{path} is damaged or not a PyTorch checkpoint; copy or download it again.") from error
