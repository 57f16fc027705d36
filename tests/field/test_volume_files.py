"""Image files from converters and archives, and damaged ones: the correct volume or one true sentence."""

import bz2
import gzip
import struct
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from gynbtnet.imaging import Conversion, Volume, convert, from_sitk, read_ct_series, read_volume
from gynbtnet.runtime import BadInput

from .battery import CASES
from .builders import CT

nib = pytest.importorskip("nibabel")

SHAPE = (40, 44, 30)
AFFINE = np.array([[-1.0, 0, 0, 20], [0, -1, 0, 22], [0, 0, 2, -10], [0, 0, 0, 1]])
VALUES = np.random.default_rng(0).integers(-100, 200, SHAPE).astype(np.int16)


def saved(path: Path, image: Any, changes: dict[int, bytes] | None = None) -> Path:
    """Write the image with nibabel, and replace bytes of its header."""
    nib.save(image, path)
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rb") as stream:
        content = bytearray(stream.read())
    for place, value in (changes or {}).items():
        content[place : place + len(value)] = value
    with opened(path, "wb") as stream:
        stream.write(content)
    return path


def changed(path: Path, changes: dict[int, bytes], values: np.ndarray = VALUES) -> Path:
    image = nib.Nifti1Image(values, AFFINE)
    image.set_qform(AFFINE, code=1)
    return saved(path, image, changes)


def floats(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


def turned(*degrees: float) -> np.ndarray:
    """Return a rotation about x, y and z."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        plane = [i for i in range(3) if i != axis]
        one = np.eye(3)
        one[np.ix_(plane, plane)] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        matrix = matrix @ one
    return matrix


def assert_as_nibabel(volume: Volume, path: Path) -> None:
    oracle = nib.load(path)
    affine = volume.geometry.affine.copy()
    affine[:2] *= -1
    assert np.allclose(affine, oracle.affine, atol=1e-4)
    assert np.allclose(volume.array, oracle.get_fdata(dtype=np.float64).T, rtol=1e-6, atol=1e-6)


# ---------------------------------------------------------------- places of a NIfTI
def test_qform_against_sform_as_in_a_public_dataset(tmp_path: Path) -> None:
    CASES["qform_against_sform"][0](tmp_path)
    with pytest.raises(BadInput, match=r"sform and qform disagree by up to .* mm \(spacing 1×1×1 and 1.3158×"):
        read_volume(tmp_path / "scan.nii.gz")


@pytest.mark.parametrize(
    ("shift", "apart"), [((5, 0, 7), "8.6"), ((0, 0.3, 0), "0.3"), ((0, 0, -1000), "1e\\+03"), ((0.12, 0, 0), "0.12")]
)
def test_a_qform_shifted_from_the_sform_is_refused_with_its_distance(tmp_path, shift, apart):
    image = nib.Nifti1Image(VALUES, AFFINE)
    beside = AFFINE.copy()
    beside[:3, 3] += shift
    image.set_qform(beside, code=1)
    image.set_sform(AFFINE, code=2)
    with pytest.raises(BadInput, match=f"sform and qform disagree by up to {apart}[0-9]* mm"):
        read_volume(saved(tmp_path / "scan.nii.gz", image))


def test_a_qform_rotated_from_the_sform_is_refused(tmp_path):
    image = nib.Nifti1Image(VALUES, AFFINE)
    flipped = AFFINE @ np.diag([-1.0, 1, 1, 1])
    image.set_qform(flipped, code=1)
    image.set_sform(AFFINE, code=1)
    with pytest.raises(BadInput, match="disagree by up to 78 mm"):
        read_volume(saved(tmp_path / "scan.nii", image))


@pytest.mark.parametrize("codes", [(1, 0), (0, 1), (1, 1), (2, 4), (1, 3)])
@pytest.mark.parametrize(
    "angles", [(0, 0, 0), (0, 0, 179.99), (0.02, 0.01, 180), (5, -7, 12), (90, 0, 90), (180, 0.01, 0)]
)
@pytest.mark.parametrize("handed", [1, -1])
def test_what_agrees_is_read_as_nibabel_reads_it(tmp_path, codes, angles, handed):
    affine = np.eye(4)
    affine[:3, :3] = turned(*angles) * (0.9765625, 0.8, 2.5 * handed)
    affine[:3, 3] = -250, 180.5, 1012.3
    values = np.broadcast_to(np.arange(200, dtype=np.int16)[:, None, None], (200, 512, 4))
    image = nib.Nifti1Image(values, affine)
    image.set_qform(affine, code=codes[0])
    image.set_sform(affine, code=codes[1])
    path = saved(tmp_path / "scan.nii", image)
    assert_as_nibabel(read_volume(path), path)


def test_neither_place_is_refused(tmp_path):
    path = changed(tmp_path / "scan.nii.gz", {252: struct.pack("<2h", 0, 0)})
    with pytest.raises(BadInput, match="neither qform nor sform is given, so left and right are unknown"):
        read_volume(path)


def test_a_pixdim_against_the_sform_is_refused(tmp_path):
    path = changed(tmp_path / "scan.nii.gz", {252: struct.pack("<h", 0), 80: floats(1, 1, 3)})
    with pytest.raises(BadInput, match=r"spacing of 1×1×3 mm \(pixdim\) and its sform 1×1×2 mm"):
        read_volume(path)


@pytest.mark.parametrize("amount", [0.3, 0.02])
def test_a_sheared_sform_is_refused(tmp_path, amount):
    sheared = AFFINE.copy()
    sheared[0, 1] = amount
    image = nib.Nifti1Image(VALUES, sheared)
    image.set_qform(AFFINE, code=0)
    with pytest.raises(BadInput, match="its axes are not perpendicular"):
        read_volume(saved(tmp_path / "sheared.nii.gz", image, {252: struct.pack("<h", 0)}))


@pytest.mark.parametrize("place", [76, 256, 268, 272, 280, 296, 324])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_a_place_that_is_not_finite_is_refused(tmp_path, place, value):
    path = changed(tmp_path / "scan.nii", {place: floats(value)})
    if place == 76:  # only the sign of qfac counts
        assert_as_nibabel(read_volume(path), path) if value in (np.inf, 1e30) else None
        return
    with pytest.raises(BadInput, match=r"not finite|longer than 1|disagree|no usable grid|m away"):
        read_volume(path)


# ---------------------------------------------------------------- values of a NIfTI
def test_a_slope_of_zero_scales_nothing(tmp_path):
    for intercept in (-1000.0, np.nan, 5.0):
        path = changed(tmp_path / "scan.nii.gz", {112: floats(0, intercept)})
        assert np.array_equal(read_volume(path).array, VALUES.T)
        assert read_volume(path).array.dtype == np.int16


@pytest.mark.parametrize("scaling", [(np.nan, 0), (np.inf, 0), (1, np.nan), (2, -np.inf)])
def test_a_scaling_that_is_not_finite_is_refused(tmp_path, scaling):
    with pytest.raises(BadInput, match="expected two finite numbers"):
        read_volume(changed(tmp_path / "scan.nii.gz", {112: floats(*scaling)}))


@pytest.mark.parametrize("kind", ["u1", "i1", "i2", "u2", "i4", "u4", "f4", "f8", "i8", "u8"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("scaling", [(1, 0), (2.5, -1024)])
def test_every_type_order_and_version_is_read_as_nibabel_reads_it(tmp_path, kind, order, version, scaling):
    values = np.arange(3 * 4 * 5).reshape(3, 4, 5).astype(kind)
    make, header = {1: (nib.Nifti1Image, nib.Nifti1Header), 2: (nib.Nifti2Image, nib.Nifti2Header)}[version]
    image = make(values, AFFINE, header(endianness=order), dtype=values.dtype)
    place, form = (112, f"{order}2f") if version == 1 else (176, f"{order}2d")
    path = saved(tmp_path / "scan.nii.gz", image, {place: struct.pack(form, *scaling)})
    volume = read_volume(path)
    assert_as_nibabel(volume, path)
    assert volume.array.dtype.isnative
    assert volume.array.dtype == (np.dtype(kind) if scaling == (1, 0) else volume.array.dtype)


@pytest.mark.parametrize("kind", ["complex64", "complex128"])
def test_complex_numbers_are_refused(tmp_path, kind):
    nib.save(nib.Nifti1Image(VALUES.astype(kind), AFFINE), tmp_path / "scan.nii.gz")
    with pytest.raises(BadInput, match="complex numbers, 2 values per voxel; expected a three-dimensional scan"):
        read_volume(tmp_path / "scan.nii.gz")


def test_colours_channels_and_slices_are_refused(tmp_path):
    colour = np.zeros((3, 4, 5), np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    for values, said in (
        (colour, "3 values per voxel"),
        (np.zeros((3, 4, 5, 2), np.int16), "4 dimensions"),
        (np.zeros((3, 4, 5, 1, 3), np.float32), "5 dimensions"),
        (np.zeros((3, 4), np.int16), "2 dimensions"),
    ):
        nib.save(nib.Nifti1Image(values, AFFINE), tmp_path / "scan.nii")
        with pytest.raises(BadInput, match=said):
            read_volume(tmp_path / "scan.nii")
    nib.save(nib.Nifti1Image(VALUES[..., None], AFFINE), tmp_path / "scan.nii")
    assert np.array_equal(read_volume(tmp_path / "scan.nii").array, VALUES.T)


# ---------------------------------------------------------------- lengths and sizes of a NIfTI
@pytest.mark.parametrize(("code", "factor"), [(0, 1), (2, 1), (10, 1), (1, 1000), (3, 0.001), (19, 0.001)])
def test_units_are_converted_to_millimetres(tmp_path, code, factor):
    affine = np.diag([-1.0 / factor, -1 / factor, 2 / factor, 1])
    affine[:3, 3] = np.array([20, 22, -10]) / factor
    image = nib.Nifti1Image(VALUES, affine)
    image.set_qform(affine, code=1)
    volume = read_volume(saved(tmp_path / "scan.nii.gz", image, {123: bytes([code])}))
    assert np.allclose(volume.geometry.spacing, (2, 1, 1), rtol=1e-6)
    assert np.allclose(volume.geometry.origin, (-20, -22, -10), atol=1e-5)


@pytest.mark.parametrize("code", [4, 5, 6, 7, 255])
def test_an_unknown_unit_is_refused(tmp_path, code):
    with pytest.raises(BadInput, match=f"unknown unit {code & 7}"):
        read_volume(changed(tmp_path / "scan.nii.gz", {123: bytes([code])}))


@pytest.mark.parametrize("spacing", [(5000, 5000, 5000), (1, 1, 120), (1e-9, 1e-9, 1e-9)])
def test_a_grid_that_no_scanner_makes_is_refused(tmp_path, spacing):
    affine = np.diag([*spacing, 1.0])
    nib.save(nib.Nifti1Image(VALUES, affine), tmp_path / "scan.nii.gz")
    with pytest.raises(BadInput, match=r"m long along one axis .* expected at most 3 m|expected at least 0.01 mm"):
        read_volume(tmp_path / "scan.nii.gz")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("count", [0, -1, 8, 300])
def test_a_number_of_dimensions_out_of_range_is_refused(tmp_path, suffix, count):
    with pytest.raises(BadInput, match=f"its header gives {count} dimensions"):
        read_volume(changed(tmp_path / f"scan{suffix}", {40: struct.pack("<h", count)}))


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize(
    "sizes", [(40, 44, 31), (40, 44, 29), (39, 44, 30), (32767, 32767, 32767), (0, 44, 30), (-40, 44, 30)]
)
def test_sizes_that_are_not_the_files_are_refused(tmp_path, suffix, sizes):
    with pytest.raises(BadInput, match=r"promises|can't hold|gives sizes"):
        read_volume(changed(tmp_path / f"scan{suffix}", {42: struct.pack("<3h", *sizes)}))


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("offset", [0, 16, 352.5, -352, 1e30, np.nan, np.inf, 354, 1e6])
def test_an_offset_that_is_none_is_refused(tmp_path, suffix, offset):
    with pytest.raises(BadInput, match=r"begin at byte|promises"):
        read_volume(changed(tmp_path / f"scan{suffix}", {108: floats(offset)}))


def test_extensions_before_the_voxels_are_passed_over(tmp_path):
    image = nib.Nifti1Image(VALUES, AFFINE)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"drawn by hand" * 40))
    nib.save(image, tmp_path / "scan.nii.gz")
    assert np.array_equal(read_volume(tmp_path / "scan.nii.gz").array, VALUES.T)


@pytest.mark.parametrize("magic", [b"ni1\0", b"\0\0\0\0", b"n+2\0"])
def test_a_pair_and_a_file_of_analyze_are_refused(tmp_path, magic):
    with pytest.raises(BadInput, match=r"pair \(.hdr and .img\)|lacks the magic number of NIfTI"):
        read_volume(changed(tmp_path / "scan.nii", {344: magic}))


def test_a_pair_of_hdr_and_img_is_refused(tmp_path):
    nib.save(nib.Nifti1Pair(VALUES, AFFINE), tmp_path / "scan.img")
    for name in ("scan.hdr", "scan.img"):
        with pytest.raises(BadInput):
            convert([tmp_path / name], tmp_path / "out.nii.gz", Conversion())


def test_what_follows_the_compressed_voxels_is_refused(tmp_path):
    path = changed(tmp_path / "scan.nii.gz", {})
    content = path.read_bytes()
    path.write_bytes(content + bytes(512))  # a tape's padding
    assert np.array_equal(read_volume(path).array, VALUES.T)
    path.write_bytes(content + b"junk")
    with pytest.raises(BadInput, match="can't be read"):
        read_volume(path)
    path.write_bytes(content + gzip.compress(bytes(1000)))
    with pytest.raises(BadInput, match="more voxels than"):
        read_volume(path)
    whole = gzip.decompress(content)
    path.write_bytes(gzip.compress(whole[:5000]) + gzip.compress(whole[5000:]))  # as bgzip writes
    assert np.array_equal(read_volume(path).array, VALUES.T)


# ---------------------------------------------------------------- NRRD and MetaImage
NRRD = (
    "NRRD0004\n# a comment\ntype: {kind}\ndimension: 3\nspace: {space}\nsizes: 3 4 5\nendian: {endian}\n"
    "encoding: {encoding}\nspace directions: (0,0.5,0) (-0.75,0,0) (0,0,2)\nkinds: domain domain domain\n"
    "space origin: (10,-20,30.5)\nModality:=CT\n\n"
)
META = (
    "ObjectType = Image\nNDims = 3\nBinaryData = {binary}\nBinaryDataByteOrderMSB = {big}\nCompressedData = {packed}\n"
    "TransformMatrix = 0 1 0 -1 0 0 0 0 1\nOffset = 10 -20 30.5\nCenterOfRotation = 0 0 0\n"
    "ElementSpacing = 0.5 0.75 2\nDimSize = 3 4 5\nElementType = {kind}\nElementDataFile = LOCAL\n"
)
SMALL = (np.arange(60).reshape(5, 4, 3) * 11 - 300).astype(np.int16)


def encoded(values: np.ndarray, encoding: str) -> bytes:
    raw = values.tobytes()
    ways = {
        "gzip": gzip.compress(raw),
        "bzip2": bz2.compress(raw),
        "hex": raw.hex(" ", 3).encode() + b"\n",
        "ascii": " ".join(map(str, values.ravel())).encode(),
        "raw": raw,
        "zlib": zlib.compress(raw),
    }
    return ways[encoding]


def assert_as_simpleitk(path: Path, values: np.ndarray = SMALL) -> None:
    volume, oracle = read_volume(path), from_sitk(sitk.ReadImage(str(path)))
    assert np.array_equal(volume.array, values)
    assert np.array_equal(oracle.array, values)
    assert volume.array.dtype == oracle.array.dtype
    assert volume.array.dtype.isnative
    assert volume.geometry.offset(oracle.geometry) < 1e-9


@pytest.mark.parametrize("space", ["left-posterior-superior", "right-anterior-superior", "left-anterior-superior"])
@pytest.mark.parametrize("encoding", ["raw", "gzip", "ascii", "hex", "bzip2"])
@pytest.mark.parametrize("endian", ["little", "big"])
def test_every_kind_of_nrrd_is_read_as_simpleitk_reads_it(tmp_path, space, encoding, endian):
    header = NRRD.format(kind="short", space=space, encoding=encoding, endian=endian)
    stored = SMALL.astype(">i2" if endian == "big" else "<i2")
    path = tmp_path / "scan.nrrd"
    path.write_bytes(header.encode() + encoded(stored, encoding))
    if encoding == "bzip2":  # SimpleITK is built without it
        assert np.array_equal(read_volume(path).array, SMALL)
    else:
        assert_as_simpleitk(path)


@pytest.mark.parametrize("encoding", ["raw", "zlib", "ascii"])
@pytest.mark.parametrize("endian", ["little", "big"])
def test_every_kind_of_meta_image_is_read_as_simpleitk_reads_it(tmp_path, encoding, endian):
    header = META.format(kind="MET_SHORT", binary=encoding != "ascii", packed=encoding == "zlib", big=endian == "big")
    stored = SMALL.astype(">i2" if endian == "big" else "<i2")
    content = encoded(stored, encoding)
    header = header.replace("CompressedData = True", f"CompressedData = True\nCompressedDataSize = {len(content)}")
    (tmp_path / "scan.mha").write_bytes(header.encode() + content)
    if encoding == "ascii":  # which SimpleITK doesn't read
        assert np.array_equal(read_volume(tmp_path / "scan.mha").array, SMALL)
    else:
        assert_as_simpleitk(tmp_path / "scan.mha")


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
@pytest.mark.parametrize("kind", ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
@pytest.mark.parametrize("compressed", [True, False])
def test_every_type_that_simpleitk_writes_is_read(tmp_path, suffix, kind, compressed):
    image = sitk.GetImageFromArray(np.abs(SMALL).astype(kind))
    image.SetSpacing((0.5, 0.75, 2))
    image.SetOrigin((10, -20, 30.5))
    image.SetDirection(turned(10, 20, -30).ravel())
    sitk.WriteImage(image, str(tmp_path / f"scan{suffix}"), useCompression=compressed)
    assert_as_simpleitk(tmp_path / f"scan{suffix}", np.abs(SMALL).astype(kind))


def nrrd(*changes: tuple[str, str]) -> bytes:
    header = NRRD.format(kind="short", space="left-posterior-superior", encoding="raw", endian="little")
    for old, new in changes:
        assert old in header
        header = header.replace(old, new)
    return header.encode() + SMALL.tobytes()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("space: left-posterior-superior\n", ""), "left and right are unknown"),
        (("left-posterior-superior", "scanner-xyz"), "left and right are unknown"),
        (("space directions: (0,0.5,0) (-0.75,0,0) (0,0,2)", "spacings: 1 1 1"), "left and right are unknown"),
        (("sizes: 3 4 5", "sizes: 3 4 6"), "promises"),
        (("sizes: 3 4 5", "sizes: 2 4 5"), "promises"),
        (("sizes: 3 4 5", "sizes: 3 -4 5"), "sizes of"),
        (("sizes: 3 4 5", "sizes: 4294967297 4294967297 4294967297"), "promises"),
        (("sizes: 3 4 5", "sizes: 99999999999999999999 4 5"), "for sizes"),
        (("sizes: 3 4 5", "sizes: 3 4 5 1"), "dimensions"),
        (("dimension: 3", "dimension: 4"), "dimensions"),
        (("dimension: 3", "dimension: 2000000000"), "dimensions"),
        (("type: short", "type: block"), "type “block”"),
        (("encoding: raw", "encoding: zrl"), "“zrl”"),
        (("endian: little\n", ""), "byte order"),
        (("(10,-20,30.5)", "(10,nan,30.5)"), "finite coordinates"),
        (("(10,-20,30.5)", "(10,1e300,30.5)"), "m away"),
        (("(0,0.5,0)", "(0,inf,0)"), "no usable grid"),
        (("(0,0.5,0)", "(0,0,0)"), "no usable grid"),
        (("(0,0.5,0)", "(0.3,0.5,0)"), "no usable grid"),
        (("(0,0.5,0)", "none"), "2 space directions"),
        (("(0,0.5,0)", "(0,5000,0)"), "15 m long"),
        (("space origin", 'space units: "furlong" "furlong" "furlong"\nspace origin'), "furlong"),
        (("encoding: raw", "encoding: raw\ndata file: ../../etc/passwd"), "in another file"),
        (("encoding: raw", "encoding: raw\ndatafile: LIST"), "in another file"),
        (("encoding: raw", "encoding: raw\nbyte skip: 1000000000000"), "skipped"),
        (("encoding: raw", "encoding: raw\nline skip: 3"), "skipped"),
        (("encoding: raw", "encoding: raw\nencoding: gzip"), "a field twice"),
        (("Modality:=CT\n\n", "Modality:=CT\n"), "does not begin as a NRRD|no field"),
    ],
)
def test_a_nrrd_that_contradicts_itself_is_refused(tmp_path, change, said):
    (tmp_path / "scan.nrrd").write_bytes(nrrd(change))
    with pytest.raises(BadInput, match=said):
        read_volume(tmp_path / "scan.nrrd")


def test_units_and_skipped_bytes_of_a_nrrd_count(tmp_path):
    path = tmp_path / "scan.nrrd"
    path.write_bytes(nrrd(("space origin", 'space units: "cm" "cm" "cm"\nspace origin')))
    assert read_volume(path).geometry.spacing == (20, 7.5, 5)
    path.write_bytes(nrrd(("encoding: raw", "encoding: raw\nbyte skip: -1")))
    assert np.array_equal(read_volume(path).array, SMALL)


def meta(*changes: tuple[str, str]) -> bytes:
    header = META.format(kind="MET_SHORT", binary=True, packed=False, big=False)
    for old, new in changes:
        assert old in header
        header = header.replace(old, new)
    return header.encode() + SMALL.tobytes()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("DimSize = 3 4 5", "DimSize = 3 4 6"), "promises"),
        (("DimSize = 3 4 5", "DimSize = 3 3 5"), "promises"),
        (("DimSize = 3 4 5", "DimSize = 3 0 5"), "sizes of"),
        (("DimSize = 3 4 5", "DimSize = 4294967297 4294967297 3"), "promises"),
        (("NDims = 3", "NDims = 1000000"), "dimensions"),
        (("NDims = 3", "NDims = -3"), "dimensions"),
        (("MET_SHORT", "MET_SHORT_ARRAY"), "of type"),
        (("ElementSpacing = 0.5 0.75 2", "ElementSpacing = 0.5 -0.75 2"), "no usable grid"),
        (("ElementSpacing = 0.5 0.75 2", "ElementSpacing = 0.5 nan 2"), "no usable grid"),
        (("ElementSpacing = 0.5 0.75 2", "ElementSpacing = 0.5 0.75"), "3 number"),
        (("ElementSpacing = 0.5 0.75 2", "ElementSpacing = 5000 0.75 2"), "15 m long"),
        (("ElementSpacing = 0.5 0.75 2\n", ""), "ElementSpacing"),
        (("Offset = 10 -20 30.5", "Offset = 10 inf 30.5"), "finite coordinates"),
        (("TransformMatrix = 0 1 0", "TransformMatrix = 0.4 1 0"), "no usable grid"),
        (("= LOCAL", "= ../../etc/passwd"), "in another file"),
        (("= LOCAL", "= LIST"), "in another file"),
        (("BinaryData = True", "BinaryData = Perhaps"), "True or False"),
        (("CompressedData = False", "CompressedData = True"), "can't be read"),
        (("ElementType", "ElementNumberOfChannels = 3\nElementType"), "3 values per voxel"),
        (("ElementType", "ElementToIntensityFunctionSlope = 2\nElementType"), "scales its voxels"),
        (("ElementType", "DistanceUnits = furlong\nElementType"), "furlong"),
        (("ElementType", "HeaderSize = -1\nElementType"), "HeaderSize"),
        (("ElementType", "NDims = 3\nElementType"), "NDims twice"),
        (("ObjectType = Image", "ObjectType = Tube"), "Tube"),
    ],
)
def test_a_meta_image_that_contradicts_itself_is_refused(tmp_path, change, said):
    (tmp_path / "scan.mha").write_bytes(meta(change))
    with pytest.raises(BadInput, match=said):
        read_volume(tmp_path / "scan.mha")


# ---------------------------------------------------------------- memory
@contextmanager
def little_memory(most: int) -> Iterator[None]:
    """Check that at most ``most`` bytes are allocated."""
    tracemalloc.start()
    try:
        yield
        highest = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert highest < most


def test_a_scan_beyond_memory_is_refused_with_both_sizes(tmp_path, monkeypatch):
    path = changed(tmp_path / "scan.nii.gz", {})
    need = VALUES.nbytes
    monkeypatch.setattr("gynbtnet.runtime.available_memory.available_bytes", lambda: need - 1)
    with (
        little_memory(need),
        pytest.raises(BadInput, match=r"30×44×40 voxels \(z, y, x\) needs about 0.1 MB of memory, and 0.1 MB are"),
    ):
        read_volume(path)
    monkeypatch.setattr("gynbtnet.runtime.available_memory.available_bytes", lambda: need)
    assert np.array_equal(read_volume(path).array, VALUES.T)
    scaled = changed(tmp_path / "scaled.nii.gz", {112: floats(2, 0)})
    with pytest.raises(BadInput, match="needs about"):
        read_volume(scaled)


def test_a_megabyte_that_claims_27_gigabytes_is_refused_before_it_is_unpacked(tmp_path):
    path = changed(tmp_path / "scan.nii.gz", {42: struct.pack("<3h", 3000, 3000, 1500)})
    with gzip.open(path, "ab") as stream:
        stream.write(bytes(2**26))
    with little_memory(2**20), pytest.raises(BadInput, match=r"bytes of type “gzip file” can't hold the 2[0-9]+ bytes"):
        read_volume(path)


def test_of_a_bomb_no_more_is_unpacked_than_its_header_promises(tmp_path, monkeypatch):
    path = changed(tmp_path / "scan.nii.gz", {})
    with gzip.open(path, "ab", compresslevel=1) as stream:
        for _ in range(16):
            stream.write(bytes(2**24))
    unpacked = []
    read = gzip.GzipFile.read
    monkeypatch.setattr(gzip.GzipFile, "read", lambda self, size: unpacked.append(size) or read(self, size))
    with pytest.raises(BadInput, match="more voxels than the"):
        read_volume(path)
    assert sum(unpacked) < 2**22


# ---------------------------------------------------------------- the same limits for DICOM
def test_a_ct_of_more_than_three_metres_is_refused(tmp_path):
    series = CT(tmp_path, change=lambda dataset, number: setattr(dataset, "PixelSpacing", [100, 100]))
    assert series is not None
    with pytest.raises(BadInput, match=r"m long along one axis .* expected at most 3 m"):
        read_ct_series(tmp_path)


def test_a_ct_beyond_memory_is_refused_before_its_pixels_are_read(tmp_path, monkeypatch):
    CT(tmp_path)
    monkeypatch.setattr("gynbtnet.runtime.available_memory.available_bytes", lambda: 10**4)
    monkeypatch.setattr("gynbtnet.imaging.dicom.ct_series.decode_pixels", None)
    with pytest.raises(BadInput, match=r"pixels needs about .* MB of memory, and 0\.0 MB are available"):
        read_ct_series(tmp_path)
