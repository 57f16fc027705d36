"""How nnU-Net is called: with the environment variables that it asks for, and without its chatter."""

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
    """Let nnU-Net see ``variables`` in the environment, and put what it prints into ``log``, for a while.

    Its warnings are not shown: they are its authors' to mend. What it makes of matplotlib's style for its own curves
    is undone.

    Args:
        log: a file that is added to; None: what it prints is dropped.
        variables: nnU-Net's own, such as ``nnUNet_raw``.

    Raises:
        BadInput: where nnU-Net isn't installed.
    """
    require("nnunet", "nnunetv2")
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        with (
            (log or Path(os.devnull)).open("a") as printed,
            redirect_stdout(printed),
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
    """Let ``target`` lead to ``source``; a copy where the system allows no links, as Windows by default."""
    try:
        target.symlink_to(source.absolute())
    except OSError:
        with atomic_write(target) as partial:
            partial.write_bytes(source.read_bytes())
