"""Masks of structures as an image file of bits; the names of the structures are stored elsewhere."""

from pathlib import Path

from gynbtnet.imaging.files.volume_files import read_volume, write_volume
from gynbtnet.imaging.structure_masks import StructureMasks
from gynbtnet.runtime.errors import BadInput


def write_mask_bits(masks: StructureMasks, path: Path) -> None:
    """Write the bits of masks as an image file, atomically."""
    write_volume(masks.bits, path)


def read_mask_bits(path: Path, structures: tuple[str, ...]) -> StructureMasks:
    """Read the masks of ``structures`` that :func:`write_mask_bits` wrote.

    Raises:
        BadInput: If the file is absent or damaged, or has bits of other structures.
    """
    volume = read_volume(path)
    if volume.array.dtype.kind != "u":
        raise BadInput(f"{path} has {volume.array.dtype} values; expected the bits of masks: ingest again.")
    try:
        return StructureMasks.from_bits(volume, structures)
    except ValueError as error:
        raise BadInput(f"{path} does not contain masks of {', '.join(structures)}: {error}; ingest again.") from error
