# ruff: noqa: E501 (right answers are sentences)
"""Forty kinds of input as planning systems, scanners and converters wrote them, each built from synthetic voxels.

Every function writes one kind into a folder. ``CASES`` contains it with its source and the correct result.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.uid import ExplicitVRBigEndian, RLELossless

from .builders import CT, MR_CLASS, contour_item, rtdose, rtplan, rtstruct, uid

CASES: dict[str, Any] = {}


def case(source, expect):
    def add(f):
        CASES[f.__name__] = (f, source, expect)
        return f

    return add


P = "CLOSED_PLANAR"


def boxes(ct, ks, *ij):
    return [(P, ct.box(k, *ij)) for k in ks]


# ---------------------------------------------------------------- contours
@case(
    "bhklab/med-imagetools examples/data/RADCURE example_0 (XiO, ROI “1,SUV_primair”)",
    "bladder 8 slices × 10×8 voxels = 640 voxels, 1.92 cm³ at 1×1×3 mm (or an error); never an empty mask without a message",
)
def doubled_contours(f):
    """Every contour of the ROI is stored twice, as XiO wrote a real ROI: by XOR nothing is left of it."""
    ct = CT(f)
    b = boxes(ct, range(2, 10), 10, 19, 8, 15)
    rtstruct(
        f"{f}/RS.dcm",
        ct,
        [(1, "Bladder", [x for y in b for x in (y, y)]), (2, "Rectum", boxes(ct, range(2, 10), 25, 30, 8, 15))],
    )


@case(
    "glucee/OVH rtss.dcm (ADAC Pinnacle3, ROI “PTV_48_6Gy”); qurit/rt-utils#87",
    "bladder 640 voxels, the contours of one and of two points omitted with a note; rectum 384 voxels",
)
def point_and_line_contours(f):
    """Among closed contours are ones of one and of two points, typed CLOSED_PLANAR, as Pinnacle exports them."""
    ct = CT(f)
    b = boxes(ct, range(2, 10), 10, 19, 8, 15)
    b.insert(3, (P, ct.box(4, 12, 12, 9, 9)[:1]))
    b.append((P, ct.box(6, 12, 12, 9, 9)[:2]))
    rtstruct(f"{f}/RS.dcm", ct, [(1, "Bladder", b), (2, "Rectum", boxes(ct, range(2, 10), 25, 30, 8, 15))])


@case(
    "qurit/rt-utils#66, #137",
    "an error that names both ROIs (it is unknown which contours belong to which); never both structures with one ROI's contours",
)
def roi_number_twice(f):
    """Bladder and rectum carry the same ROINumber 19, as tools that number by count write."""
    ct = CT(f)
    rtstruct(
        f"{f}/RS.dcm",
        ct,
        [
            (19, "Bladder", boxes(ct, range(2, 10), 10, 19, 8, 15)),
            (19, "Rectum", boxes(ct, range(2, 10), 25, 30, 8, 15)),
        ],
    )


@case("pyplati/platipy#143 (RayStation)", "bladder 640, rectum 384 voxels; uterus missing")
def empty_roi_left_out(f):
    """An empty ROI has no item in ROIContourSequence, whose order also differs from the list of ROIs."""
    ct = CT(f)
    rtstruct(
        f"{f}/RS.dcm",
        ct,
        [(7, "Uterus", None), (3, "Bladder", None), (9, "Rectum", boxes(ct, range(2, 10), 25, 30, 8, 15))],
        [contour_item(3, boxes(ct, range(2, 10), 10, 19, 8, 15))],
    )


@case("qurit/rt-utils#60 (tandem and ovoids)", "bladder 640 voxels; the applicator's open lines don't disturb")
def applicator_lines(f):
    """A brachytherapy export: catheters as OPEN_NONPLANAR, a dose point, next to the organs."""
    ct = CT(f)
    line = np.array([ct.world(k, 15, 15) for k in range(12)])
    rtstruct(
        f"{f}/RS.dcm",
        ct,
        [
            (1, "Tandem", [("OPEN_NONPLANAR", line)]),
            (2, "Point A", [("POINT", line[:1])]),
            (3, "Bladder", boxes(ct, range(2, 10), 10, 19, 8, 15)),
        ],
    )


@case("pyplati/platipy#165, cerr/CERR#18", "bladder 640 voxels at the same indices as drawn; position err < 1e-3 mm")
def oblique_stack(f):
    """Slices rotated by 12° about x: contours are flat in the slices and not in z."""
    a = np.radians(12)
    ct = CT(f, iop=(1, 0, 0, 0, np.cos(a), np.sin(a)))
    rtstruct(f"{f}/RS.dcm", ct, [(1, "Bladder", boxes(ct, range(2, 10), 10, 19, 8, 15))])


@case(
    "wasserth/TotalSegmentator#598 (TCIA, row order reversed)",
    "bladder 640 voxels: rows 10–19, columns 8–15 of the DICOM images; SEG and RTSTRUCT written from it lie on them",
)
def negated_column(f):
    """ImageOrientationPatient 1,0,0,0,-1,0: the first row is the patient's back, slices descend."""
    ct = CT(f, iop=(1, 0, 0, 0, -1, 0), origin=(-16, 20, 18))
    rtstruct(f"{f}/RS.dcm", ct, [(1, "Bladder", boxes(ct, range(2, 10), 10, 19, 8, 15))])


@case("qurit/rt-utils#24", "bladder 640 voxels; slices by ImagePositionPatient")
def slice_location_reversed(f):
    """SliceLocation runs against ImagePositionPatient, InstanceNumber as well."""
    ct = CT(
        f,
        change=lambda d, k: (
            setattr(d, "SliceLocation", -float(d.ImagePositionPatient[2])),
            setattr(d, "InstanceNumber", 12 - k),
        ),
    )
    rtstruct(f"{f}/RS.dcm", ct, [(1, "Bladder", boxes(ct, range(2, 10), 10, 19, 8, 15))])


@case("Sikerdebaard/dcmrtstruct2nii#37, #28", "bladder 8 slices × 40 rows × 9 columns = 2880 voxels")
def to_the_edge(f):
    """A contour that runs along the outer faces of the image, in an image that isn't square."""
    ct = CT(f)
    rtstruct(f"{f}/RS.dcm", ct, [(1, "Bladder", boxes(ct, range(2, 10), 0, 39, 0, 8))])


@case(
    "qurit/rt-utils#25, medical-physics-usz/z-rad#252",
    "an error, or the part within the scan with a note; bladder stays available (640 voxels) since it is inside",
)
def couch_beyond_scan(f):
    """A couch ROI reaches two slices beyond the scan; the organs don't."""
    ct = CT(f)
    rtstruct(
        f"{f}/RS.dcm",
        ct,
        [
            (1, "Couch", [(P, ct.box(("mm", z), 35, 39, 0, 31)) for z in np.arange(-6, 42, 3.0)]),
            (2, "Bladder", boxes(ct, range(2, 10), 10, 19, 8, 15)),
        ],
    )


@case("e0404/matRad#910", "bladder on all 12 slices, 960 voxels")
def near_slab_faces(f):
    """Contours are 1.2 mm off their slices (3 mm apart), the outer ones beyond the first and last slice."""
    ct = CT(f)
    rtstruct(
        f"{f}/RS.dcm",
        ct,
        [(1, "Bladder", [(P, ct.box(("mm", z + (-1.2 if z < 15 else 1.2)), 10, 19, 8, 15)) for z in ct.zs])],
    )


@case(
    "clinical habit; 3D Slicer/TPS fill between",
    "8 slices between first and last contour: 9 × 80 = 720 voxels by interpolation, or an error; 5 × 80 = 400 with a note halves the organ",
)
def every_other_slice(f):
    """The organ is drawn on every second slice."""
    ct = CT(f)
    rtstruct(f"{f}/RS.dcm", ct, [(1, "Bladder", boxes(ct, range(1, 10, 2), 10, 19, 8, 15))])


@case(
    "pyplati/platipy#314",
    "with --allow-missing-slices: each of the 9 contours on its own scanned slice, none shifted; positions err < 1e-3 mm",
)
def three_then_six_mm(f):
    """Slices 3 mm apart, then 6 mm: contours must stay on their own slices."""
    zs = [0, 3, 6, 9, 12, 18, 24, 30, 36, 42]
    ct = CT(f, zs=zs)
    rtstruct(f"{f}/RS.dcm", ct, [(1, "Bladder", boxes(ct, range(1, 10), 10, 19, 8, 15))])


@case("own: real RTSTRUCTs type it so (RayStation, CERR)", "ring 144 - 36 + 4 = 112 voxels a slice, 896 in all")
def hole_and_island(f):
    """A ring as outer and inner contour, and an island in the hole."""
    ct = CT(f)
    c = []
    for k in range(2, 10):
        c += [(P, ct.box(k, 8, 19, 8, 19)), (P, ct.box(k, 11, 16, 11, 16)), (P, ct.box(k, 13, 14, 13, 14))]
    rtstruct(f"{f}/RS.dcm", ct, [(1, "Bladder", c)])


@case(
    "own: several RTSTRUCTs in one export, one drawn on MR",
    "ingest takes the CT with its RTSTRUCT (640 voxels) and reports the MR's; the MR's RTSTRUCT is not a reason to refuse everything",
)
def mr_with_own_structures(f):
    """A brachytherapy patient: CT with its RTSTRUCT, and MR with its own RTSTRUCT (HR-CTV), in another frame."""
    ct = CT(f"{f}/ct")
    rtstruct(f"{f}/ct/RS.dcm", ct, [(1, "Bladder", boxes(ct, range(2, 10), 10, 19, 8, 15))])

    def mr(d, k):
        d.Modality = "MR"
        d.SOPClassUID = MR_CLASS
        d.file_meta.MediaStorageSOPClassUID = MR_CLASS
        del d.RescaleSlope
        del d.RescaleIntercept

    m = CT(f"{f}/mr", series="mr", frame="mr frame", change=mr, study="mr study")
    rtstruct(f"{f}/mr/RS_MR.dcm", m, [(1, "HR-CTV", boxes(m, range(2, 10), 10, 19, 8, 15))])


@case(
    "own: a plan revision leaves two RTSTRUCTs of one CT",
    "the good patient is ingested, the other is listed with both files, exit code 1",
)
def two_structure_sets(f):
    """Two patients; the second has two RTSTRUCTs on its CT."""
    ct = CT(f"{f}/a", patient="A")
    rtstruct(f"{f}/a/RS.dcm", ct, [(1, "Bladder", boxes(ct, range(2, 10), 10, 19, 8, 15))])
    ct = CT(f"{f}/b", patient="B")
    rtstruct(f"{f}/b/RS1.dcm", ct, [(1, "Bladder", boxes(ct, range(2, 10), 10, 19, 8, 15))])
    rtstruct(f"{f}/b/RS2.dcm", ct, [(1, "Bladder", boxes(ct, range(2, 9), 10, 19, 8, 15))])


# ---------------------------------------------------------------- names
def _named(f, name, charset, alias):
    ct = CT(f)
    rtstruct(f"{f}/RS.dcm", ct, [(1, name, boxes(ct, range(2, 10), 10, 19, 8, 15))], name_charset=charset)
    Path(f"{f}/aliases.yaml").write_text(f"bladder: ['{alias}']\n", encoding="utf-8")


@case("QIICR/dcmqi#233", "alias file in UTF-8 maps it: bladder 640 voxels")
def name_latin1(f):
    """ROI name with umlauts, ISO_IR 100."""
    _named(f, "Blase Füllung", "ISO_IR 100", "Blase Füllung")


@case("fo-dicom charset tests", "alias 直腸 maps it (to bladder here): 640 voxels")
def name_japanese(f):
    """ROI name in Japanese, ISO 2022 IR 87."""
    _named(f, "直腸", ["", "ISO 2022 IR 87"], "直腸")


@case(
    "own: exporters that forget SpecificCharacterSet",
    "bladder 640 voxels by an alias of what is shown, or the name shown so that it can be copied into the alias file",
)
def name_without_charset(f):
    """Latin-1 bytes in a ROI name, no SpecificCharacterSet."""
    _named(f, "Blase Fuellung", None, "Blase Füllung")
    p = f"{f}/RS.dcm"
    b = Path(p).read_bytes().replace(b"Blase Fuellung", b"Blase F\xfcllung ")
    Path(p).write_bytes(b)


@case(
    "own: isodoses and retired ROIs are named so (Pinnacle, RayStation)",
    "the names “Iso 45 [cGy]” and “CTV [old]” are shown unchanged in inspect, convert and ingest",
)
def name_in_brackets(f):
    """ROI names with words in square brackets, which a terminal library interprets as markup."""
    ct = CT(f)
    b = boxes(ct, range(2, 10), 25, 30, 8, 15)
    rtstruct(
        f"{f}/RS.dcm",
        ct,
        [(1, "Iso 45 [cGy]", b), (2, "CTV [old]", b), (3, "Bladder", boxes(ct, range(2, 10), 10, 19, 8, 15))],
    )


# ---------------------------------------------------------------- CT
@case(
    "cutright/DVH-Analytics#15 (XiO)",
    "read like any other, or a message on DICOM files without preamble; never ignored without a message",
)
def no_preamble_rtstruct(f):
    """The RTSTRUCT has no preamble and no file meta information, as XiO writes it; the CT has."""
    ct = CT(f)
    rtstruct(f"{f}/RS.dcm", ct, [(1, "Bladder", boxes(ct, range(2, 10), 10, 19, 8, 15))])
    _strip(f"{f}/RS.dcm")


def _strip(p):
    b = Path(p).read_bytes()
    n = int.from_bytes(b[140:144], "little")
    Path(p).write_bytes(b[144 + n :])


@case(
    "pydicom/pydicom#2066, dgobbi/vtk-dicom#134",
    "HU of every voxel = k*40 + 3*row + column, as stored in the low 12 bits",
)
def overlay_in_high_bits(f):
    """BitsStored 12: the four bits above hold an overlay, which isn't part of the value (PS3.5 8.1.1)."""

    def ch(d, k):
        a = np.frombuffer(d.PixelData, "<i2").reshape(40, 32).astype("<u2")
        a = a | np.where((np.indices(a.shape).sum(0) % 5) == 0, 0x1000, 0).astype("<u2")
        d.BitsStored, d.HighBit, d.PixelRepresentation, d.PixelData = 12, 11, 0, a.astype("<u2").tobytes()

    ct = CT(f, change=ch)
    rtstruct(f"{f}/RS.dcm", ct, [(1, "Bladder", boxes(ct, range(2, 10), 10, 19, 8, 15))])


@case("icometrix/dicom2nifti#13, fo-dicom#187", "HU = 40k + 3*row + column - 1000")
def signed_twelve_bits(f):
    """Signed values in 12 of 16 bits, the sign not extended into the unused ones."""

    def ch(d, k):
        i, j = np.mgrid[0:40, 0:32]
        v = k * 40 + i * 3 + j - 1000
        d.BitsStored, d.HighBit, d.PixelData = 12, 11, (v & 0xFFF).astype("<u2").tobytes()

    ct = CT(f, change=ch)
    rtstruct(f"{f}/RS.dcm", ct, [(1, "Bladder", boxes(ct, range(2, 10), 10, 19, 8, 15))])


@case("DIAGNijmegen/rse-panimg#126", "refused: mixed orientations, and which file")
def one_coronal_slice(f):
    """One image of the series is a coronal reformat."""

    def ch(d, k):
        if k == 5:
            d.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]

    ct = CT(f, change=ch)
    rtstruct(f"{f}/RS.dcm", ct, [(1, "Bladder", boxes(ct, range(2, 10), 10, 19, 8, 15))])


@case("Project-MONAI/monai-deploy-app-sdk#527", "refused with the file's name, or read without that image, with a note")
def image_without_position(f):
    """One object of the CT series has no position and no orientation (a saved screen)."""
    ct = CT(f)
    rtstruct(f"{f}/RS.dcm", ct, [(1, "Bladder", boxes(ct, range(2, 10), 10, 19, 8, 15))])
    d = pydicom.dcmread(f"{f}/CT000.dcm")
    del d.ImagePositionPatient
    del d.ImageOrientationPatient
    d.SOPInstanceUID = uid("x")
    d.file_meta.MediaStorageSOPInstanceUID = d.SOPInstanceUID
    d.save_as(f"{f}/extra.dcm")


@case(
    "own: converters write PixelPaddingValue 0 with intercept 0",
    "water (0 HU) stays 0 HU, or a note with the number of padded voxels; 62 % of a body turning to air without a message is wrong",
)
def padding_value_is_water(f):
    """PixelPaddingValue 0 in a CT stored in HU (intercept 0): water would turn to air."""
    ct = CT(
        f,
        hu=lambda k, i, j: (
            np.where((i > 4) & (i < 35) & (j > 3) & (j < 28), 0, -1000)
            + np.where((i > 20) & (i < 25) & (j > 3) & (j < 28), 40, 0)
        ),
        change=lambda d, k: setattr(d, "PixelPaddingValue", 0),
    )
    rtstruct(f"{f}/RS.dcm", ct, [(1, "Bladder", boxes(ct, range(2, 10), 10, 19, 8, 15))])


@case(
    "MIC-DKFZ/nnUNet#2741 (ACDC)",
    "refused, or a note on which of the two was used: qform 1.3158×1.3158×10 mm, sform 1×1×1 mm",
)
def qform_against_sform(f):
    """A NIfTI whose sform and qform, both with a code, differ in spacing, as in a public dataset."""
    import nibabel as nib

    im = nib.Nifti1Image(np.arange(40 * 32 * 12, dtype=np.int16).reshape(40, 32, 12) % 900, None)
    im.set_sform(np.diag([-1.0, -1, 1, 1]), code=1)
    im.set_qform(np.diag([-1.3158, -1.3158, 10, 1]), code=1)
    nib.save(im, f"{f}/scan.nii.gz")


def _header(f, change):
    ct = CT(f, change=change)
    rtstruct(f"{f}/RS.dcm", ct, [(1, "Bladder", boxes(ct, range(2, 10), 10, 19, 8, 15))])


def _odd(d, tag, vr, value):
    import pydicom.config as c
    from pydicom.dataelem import DataElement

    with c.disable_value_validation():
        d.add(DataElement(tag, vr, value))


@case(
    "icometrix/dicom2nifti tests/data/failing (real Siemens CT without SliceThickness); highdicom",
    "DICOM SEG written (SliceThickness of the spacing, or none), predict keeps its RTSTRUCT; never a traceback",
)
def seg_without_slice_thickness(f):
    """The CT has no SliceThickness (type 2: anonymisers take it): convert --to seg and predict --output seg."""
    _header(f, lambda d, k: d.__delitem__("SliceThickness"))


@case("own: anonymisers' values", "DICOM SEG written with the values unchanged or emptied; never a traceback")
def seg_anonymised_dates(f):
    """StudyDate “ANON”, PatientBirthDate “1960”, PatientSex “unknown”: convert --to seg."""
    _header(
        f,
        lambda d, k: (
            _odd(d, 0x00080020, "DA", "ANON"),
            _odd(d, 0x00100030, "DA", "1960"),
            _odd(d, 0x00100040, "CS", "unknown"),
        ),
    )


# ---------------------------------------------------------------- doses
def _dose(ct):
    """Return a dose on 2 mm voxels that shows the position. It is 1 Gy plus 0.05, 0.03 and 0.02 Gy per mm of x, y and z."""
    z, y, x = np.mgrid[0:20, 0:22, 0:18] * 2.0
    return 1 + 0.05 * x + 0.03 * y + 0.02 * z, (-17.0, -21.0, -19.0)


def _with_organs(f, **k):
    ct = CT(f, **k)
    rtstruct(
        f"{f}/RS.dcm",
        ct,
        [(1, "Bladder", boxes(ct, range(2, 10), 10, 19, 8, 15)), (2, "Rectum", boxes(ct, range(2, 10), 25, 32, 8, 20))],
    )
    return ct


@case(
    "cutright/DVH-Analytics#68; TG-43 and Acuros of one plan, or a dose exported twice",
    "D2cc as of one dose, or an error that names both files; never the double dose",
)
def plan_dose_twice(f):
    """Two PLAN doses refer to the same plan (exported twice, with new SOPInstanceUIDs)."""
    ct = _with_organs(f)
    a, o = _dose(ct)
    rtdose(f"{f}/RD1.dcm", ct, a, o)
    rtdose(f"{f}/RD2.dcm", ct, a, o, tag="again")


@case("cutright/DVH-Analytics#68", "D2cc as of the PLAN dose alone")
def plan_and_beams(f):
    """A PLAN dose and the doses of its two beams."""
    ct = _with_organs(f)
    a, o = _dose(ct)
    rtdose(f"{f}/RD1.dcm", ct, a, o)
    rtdose(f"{f}/RD2.dcm", ct, a * 0.4, o, summation="BEAM")
    rtdose(f"{f}/RD3.dcm", ct, a * 0.6, o, summation="BEAM")


@case(
    "dicompyler/dicompyler-core#284, SebastiaanBreedveld/TROTS#19",
    "dose at every voxel 1 + 0.05x' + 0.03y' + 0.02z' as with relative offsets",
)
def offsets_absolute(f):
    """GridFrameOffsetVector holds the z coordinates themselves (PS3.3 C.8.8.3.2, case b)."""
    ct = _with_organs(f)
    a, o = _dose(ct)
    rtdose(f"{f}/RD.dcm", ct, a, o, gfov=o[2] + np.arange(20) * 2.0)


@case("own, after dicompyler-core#284", "the same dose (absolute and descending)")
def offsets_absolute_descending(f):
    """Absolute offsets, downwards."""
    ct = _with_organs(f)
    a, o = _dose(ct)
    rtdose(f"{f}/RD.dcm", ct, a[::-1], (o[0], o[1], o[2] + 38), gfov=o[2] + 38 - np.arange(20) * 2.0)


@case(
    "own: ambiguous first offset",
    "refused: an offset that is neither 0 nor the position's z is neither of the standard's two readings",
)
def offsets_neither(f):
    """The first offset is 5, while ImagePositionPatient z is -19: neither relative nor absolute."""
    ct = _with_organs(f)
    a, o = _dose(ct)
    rtdose(f"{f}/RD.dcm", ct, a, o, gfov=5 + np.arange(20) * 2.0)


@case(
    "dicompyler/dicompyler-core#144, cutright/DVH-Analytics#62",
    "D2cc equal to plan_and_beams' (same patient in another position) within 0.5 %",
)
def feet_first_prone(f):
    """CT, contours and dose feet first and prone: both in-plane axes and the normal reversed."""
    ct = CT(f, iop=(1, 0, 0, 0, -1, 0), origin=(-16, 19, 15))
    rtstruct(
        f"{f}/RS.dcm",
        ct,
        [(1, "Bladder", boxes(ct, range(2, 10), 20, 29, 8, 15)), (2, "Rectum", boxes(ct, range(2, 10), 7, 14, 8, 20))],
    )
    a, o = _dose(ct)
    rtdose(f"{f}/RD.dcm", ct, a[::-1, ::-1], (o[0], o[1] + 42, o[2] + 38), iop=(1, 0, 0, 0, -1, 0))


@case(
    "Rohit9987/dcmtk_example_rt (Varian: plan of 5 fractions, dose of all)",
    "EQD2 of 4 fractions of a quarter each, or an error or question; never the plan's dose as one fraction without a message",
)
def plan_of_four_fractions(f):
    """The RTPLAN has 4 fractions; by the standard a PLAN dose is that of all of them."""
    ct = _with_organs(f)
    a, o = _dose(ct)
    rtdose(f"{f}/RD.dcm", ct, a * 4, o)
    rtplan(f"{f}/RP.dcm", ct, fractions=4, dose=7)


@case("pydicom test data rtdose*.dcm; esimiele/VMAT-TBI#34", "refused: relative dose")
def relative_units(f):
    """DoseUnits RELATIVE."""
    ct = _with_organs(f)
    a, o = _dose(ct)
    rtdose(f"{f}/RD.dcm", ct, a, o, units="RELATIVE")


@case("own: 16 bits with a large scaling", "dose right to half a step of 0.01 Gy")
def sixteen_bits(f):
    """16-bit dose, scaling 0.01, big endian."""
    ct = _with_organs(f)
    a, o = _dose(ct)
    d = rtdose(f"{f}/RD.dcm", ct, a, o, bits=16, scaling=0.01)
    d = pydicom.dcmread(f"{f}/RD.dcm")
    v = np.frombuffer(d.PixelData, "<u2")
    d.PixelData = v.astype(">u2").tobytes()
    d.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    d["PixelData"].VR = "OW"
    pydicom.dcmwrite(f"{f}/RD.dcm", d, implicit_vr=False, little_endian=False, enforce_file_format=True)


@case("own", "D2cc as of the uncompressed dose")
def dose_rle(f):
    """RLE-compressed 32-bit dose."""
    ct = _with_organs(f)
    a, o = _dose(ct)
    rtdose(f"{f}/RD.dcm", ct, a, o)
    d = pydicom.dcmread(f"{f}/RD.dcm")
    v = d.pixel_array
    from pydicom.encaps import encapsulate
    from pydicom.pixels.encoders.base import EncodeRunner
    from pydicom.pixels.encoders.native import _encode_frame

    rows, cols = d.Rows, d.Columns
    frames = []
    for one in v:
        o = {"bits_allocated": 32, "samples_per_pixel": 1, "rows": rows, "columns": cols}
        r = EncodeRunner(RLELossless)
        options: dict[str, Any] = {
            "rows": rows,
            "columns": cols,
            "samples_per_pixel": 1,
            "bits_allocated": 32,
            "bits_stored": 32,
            "pixel_representation": 0,
            "photometric_interpretation": "MONOCHROME2",
            "number_of_frames": 1,
            "pixel_keyword": "PixelData",
        }
        r.set_options(**options)
        frames.append(_encode_frame(one.astype("<u4").tobytes(), r))
    d.PixelData = encapsulate(frames)
    d["PixelData"].VR = "OB"
    d["PixelData"].is_undefined_length = True
    d.file_meta.TransferSyntaxUID = RLELossless
    d.save_as(f"{f}/RD.dcm")


@case("own: GammaPlan, Monaco write EFFECTIVE", "an error or a note: not a physical dose")
def effective_dose(f):
    """DoseType EFFECTIVE."""
    ct = _with_organs(f)
    a, o = _dose(ct)
    rtdose(f"{f}/RD.dcm", ct, a, o, kind="EFFECTIVE")
