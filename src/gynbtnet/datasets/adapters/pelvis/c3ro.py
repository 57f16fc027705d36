"""C3RO: planning CT of one patient with a gynecologic cancer, contoured by many readers, with consensus contours.

The archive has one patient for each of five sites; the gynecologic one is in the folder ``GYN``. Its CT is
``GYN/CT/NIFTI/Image_CT_GYN.nii.gz``. The consensus of the experts is
``GYN/Segmentations/Expert/Consensus/<ROI>_STAPLE.nii.gz``. The contours of a reader are
``GYN/Segmentations/Expert/<reader>/NIFTI/<reader>_<ROI>.nii.gz``. ``Non-Expert`` is laid out the same way.

A source above ``GYN`` gives the consensus of the experts. The folder of a reader, or ``Non-Expert/Consensus``, gives
these contours on the same CT, with the same case id, so that readers can be compared.

Wahid et al. 2023, Scientific Data 10:161, doi 10.1038/s41597-023-02062-w.
"""

from collections.abc import Sequence
from pathlib import Path

from gynbtnet.datasets.adapters.adapter import Adapter, AdapterOptions
from gynbtnet.datasets.adapters.mask_files import read_mask_files
from gynbtnet.datasets.ingestion.found_scans import FoundScan, FoundScans, NamedStructures, ScanContents, natural_order
from gynbtnet.datasets.ingestion.integrity import LabelMismatch, Problem
from gynbtnet.datasets.ingestion.public_archive import Archive
from gynbtnet.datasets.ingestion.synthetic_flag import image_is_synthetic
from gynbtnet.imaging.file_search import files_below
from gynbtnet.imaging.files.volume_files import read_volume
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.runtime.errors import BadInput

ARCHIVE = Archive("C3RO", "doi 10.6084/m9.figshare.21074182", "CC BY 4.0")

_IMAGE = "Image_CT_GYN.nii.gz"
_PATIENT = "C3RO-GYN"
_SUFFIX = ".nii.gz"
_CONSENSUS = "_STAPLE"


def find(sources: Sequence[Path], options: AdapterOptions) -> FoundScans:
    """Return the gynecologic CT with the contours of the experts' consensus, or of the reader that a source names.

    Raises:
        BadInput: If a source has no such CT.
    """
    names = options.names or StructureNames.load()
    structures = options.structures or ()
    scans: list[FoundScan] = []
    problems: list[Problem] = []
    for source in sources:
        image, masks = _image_of(source), _masks_of(source)
        if image is None:
            raise BadInput(
                f"{source} is neither a folder with the gynecologic CT of C3RO nor one with a reader's contours; "
                f"expected GYN/CT/NIFTI/{_IMAGE} below it, or the folder GYN/Segmentations/Expert/<reader>."
            )
        if not masks:
            problems.append(Problem("missing", str(image), f"{image} has no masks *{_SUFFIX} in {source}."))
            continue
        synthetic = image_is_synthetic(image, source)
        order = natural_order(image)
        scans.append(FoundScan(_PATIENT, order, image.parent, (image,), masks, synthetic=synthetic))

    def masks_of(scan: FoundScan) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {structure: [] for structure in structures}
        for path in scan.contours:
            structure = names.resolve(_roi_name(path), structures)
            if structure in found:
                found[structure].append(path)
        return found

    def read(scan: FoundScan) -> ScanContents:
        found = masks_of(scan)
        twice = next((paths for paths in found.values() if len(paths) > 1), None)
        if twice:
            raise LabelMismatch(
                f"{twice[0]} and {twice[1].name} are the same structure by their names; name one in an alias file."
            )
        image = read_volume(scan.files[0])
        contents = read_mask_files(image, found, structures, resample_labels=options.resample_labels)
        named = named_structures(scan)
        return ScanContents(
            image, contents.segmentation, named.missing, contents.overlaps, named.unmapped, contents.notes
        )

    def named_structures(scan: FoundScan) -> NamedStructures:
        found = masks_of(scan)
        used = {path for paths in found.values() for path in paths}
        return NamedStructures(
            missing=tuple(structure for structure, paths in found.items() if not paths),
            unmapped=tuple(_roi_name(path) for path in scan.contours if path not in used),
        )

    aliases = sorted(alias for alias in names.aliases.items() if alias[1] in structures)
    return FoundScans(
        tuple(scans),
        read,
        structures=structures,
        depends_on=repr((aliases, options.resample_labels)),
        problems=tuple(problems),
        resamples_labels=options.resample_labels,
        named_structures=named_structures,
        archive=ARCHIVE,
    )


def _image_of(source: Path) -> Path | None:
    """Return the CT below a folder, or next to the contours of a reader; None if there is none."""
    folders = [source.absolute(), *source.absolute().parents]
    site = next((folder for folder in folders if folder.name == "GYN"), None)
    if site is not None:
        image = site / "CT" / "NIFTI" / _IMAGE
        return image if image.is_file() else None
    return next((path for path in files_below(source) if path.name == _IMAGE), None)


def _masks_of(source: Path) -> tuple[Path, ...]:
    """Return the masks of the consensus of the experts, or those of a reader or a consensus in its own folder."""
    masks = [path for path in files_below(source) if path.name.endswith(_SUFFIX) and "CT" not in path.parts[-3:-1]]
    if "Segmentations" in source.absolute().parts:
        return tuple(masks)
    return tuple(path for path in masks if path.parts[-4:-1] == ("Segmentations", "Expert", "Consensus"))


def _roi_name(path: Path) -> str:
    """Return the name of a structure: of ``3_Bladder.nii.gz`` of reader 3, or of ``Bladder_STAPLE.nii.gz``."""
    name = path.name.removesuffix(_SUFFIX)
    return name.removesuffix(_CONSENSUS).removeprefix(f"{path.parent.parent.name}_")


ADAPTER = Adapter("c3ro", ARCHIVE.title, find, takes=("structures", "names", "resample_labels"), needs=("structures",))
