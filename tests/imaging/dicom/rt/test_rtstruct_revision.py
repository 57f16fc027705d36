"""Revision of an RTSTRUCT on a scan with an interpolated slice."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom

from gynbtnet.imaging.dicom.ct_series import CTSeries, read_ct_series
from gynbtnet.imaging.dicom.rt.rtstruct_reader import read_rtstruct
from gynbtnet.imaging.dicom.rt.rtstruct_revision import RevisedStructure, write_rtstruct_revision
from gynbtnet.imaging.dicom.rt.rtstruct_writer import write_rtstruct
from gynbtnet.imaging.dicom.slice_repairs import Repairs
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Segmentation, Volume

SHAPE = (9, 24, 24)
GAP = 4


def test_slices_without_an_image_get_no_contour(
    tmp_path: Path, write_series: Callable[..., CTSeries], names: StructureNames
) -> None:
    image = np.random.default_rng(0).integers(-100, 100, SHAPE).astype(np.int16)
    write_series(Volume(image, Geometry(SHAPE, (3.0, 1.0, 1.0))), tmp_path / "ct")
    whole = read_ct_series(tmp_path / "ct")
    whole.slices[GAP].file.unlink()
    ct = read_ct_series(tmp_path / "ct", repairs=Repairs(missing_slices=True))
    assert ct.is_repaired
    before = np.zeros(SHAPE, bool)
    before[2:7, 6:16, 6:16] = True
    labels = Segmentation(Volume(before.astype(np.uint8), ct.volume.geometry), ("bladder",))
    source = tmp_path / "RS.dcm"
    write_rtstruct(labels, ct, source, names=names, label="m", description="test", software_version="0")
    after = before.copy()
    after[GAP] = False  # a slice without an image
    after[6, 6:16, 6:11] = False
    after[7, 8:12, 8:12] = True
    path = tmp_path / "revised.dcm"
    revised = {"bladder": RevisedStructure(before, after, "edited")}
    write_rtstruct_revision(source, ct, revised, path, names=names, description="test", software_version="0")
    read, _ = read_rtstruct(path, ct, ("bladder",), names)
    scanned = [z for z in range(SHAPE[0]) if z != GAP]
    assert np.array_equal(read.mask("bladder")[scanned], after[scanned])
    counts = [len(pydicom.dcmread(file).ROIContourSequence[0].ContourSequence) for file in (source, path)]
    assert counts == [4, 5]
