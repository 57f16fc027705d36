"""Calls of nnU-Net: with the environment variables that it needs, and without its console output."""

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

from matplotlib import rc_context

from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.optional_dependencies import require

DATASET_ID = 1
DATASET = f"Dataset{DATASET_ID:03d}_GynBTNet"
CONFIGURATION = "3d_fullres"


@contextmanager
def import_nnunet_library(log: Path | None = None, **variables: str) -> Iterator[None]:
    """Set environment variables for nnU-Net and redirect its output, within a context.

    Its warnings are not shown. Changes that it makes to matplotlib's style are undone.

    Args:
        log: file to which its output is appended; None: the output is discarded.
        variables: nnU-Net's environment variables, such as ``nnUNet_raw``.

    Raises:
        BadInput: If nnU-Net isn't installed.
    """
    require("nnunet", "nnunetv2")
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        with (
            (log or Path(os.devnull)).open("a") as output,
            redirect_stdout(output),
            warnings.catch_warnings(),
            rc_context(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        _restore(before)


def _restore(before: Mapping[str, str | None]) -> None:
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value


def link_or_copy(source: Path, target: Path) -> None:
    """Link ``target`` to ``source``, or copy the file if the system allows no links (Windows by default)."""
    try:
        target.symlink_to(source.absolute())
    except OSError:
        with atomic_write(target) as partial:
            partial.write_bytes(source.read_bytes())
