"""Small DICOM CT, RTSTRUCT, RTDOSE and RTPLAN files for the field tests: synthetic voxels, no patient."""

import hashlib
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ImplicitVRLittleEndian

CT_CLASS, RS_CLASS, RD_CLASS, RP_CLASS, MR_CLASS = (
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.1.481.3",
    "1.2.840.10008.5.1.4.1.1.481.2",
    "1.2.840.10008.5.1.4.1.1.481.5",
    "1.2.840.10008.5.1.4.1.1.4",
)


def uid(*parts):
    return "2.25." + str(int(hashlib.sha256(repr(parts).encode()).hexdigest()[:30], 16))


def new(sop, instance, modality, patient="CASE", study="study", syntax=ImplicitVRLittleEndian, charset=None):
    d = Dataset()
    d.file_meta = FileMetaDataset()
    d.file_meta.TransferSyntaxUID = syntax
    d.file_meta.MediaStorageSOPClassUID = sop
    d.file_meta.MediaStorageSOPInstanceUID = instance
    if charset is not None:
        d.SpecificCharacterSet = charset
    d.SOPClassUID, d.SOPInstanceUID, d.Modality = sop, instance, modality
    d.PatientID, d.PatientName, d.StudyInstanceUID = patient, "Case^Synthetic", uid(patient, study)
    d.PatientBirthDate = d.PatientSex = d.StudyDate = d.StudyTime = d.AccessionNumber = d.StudyID = ""
    return d


def save(d, path):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    d.save_as(path, enforce_file_format=True)


class CT:
    """CT of n slices of rows x cols; voxel values k*1000 % 2000 unless hu is given; positions by DICOM's formula."""

    def __init__(
        self,
        folder,
        n=12,
        rows=40,
        cols=32,
        ps=(1.0, 1.0),
        step=3.0,
        origin=(-16.0, -20.0, -18.0),
        iop=(1, 0, 0, 0, 1, 0),
        zs=None,
        hu=None,
        patient="CASE",
        series="ct",
        frame="frame",
        change=None,
        study="study",
    ):
        self.r, self.c = np.array(iop[:3], float), np.array(iop[3:], float)
        self.nrm = np.cross(self.r, self.c)
        self.ps, self.rows, self.cols, self.frame, self.patient, self.study = (
            ps,
            rows,
            cols,
            uid(patient, frame),
            patient,
            study,
        )
        zs = np.arange(n) * step if zs is None else np.asarray(zs, float)
        self.zs, self.origin, self.series = zs, np.array(origin, float), uid(patient, series)
        self.sop = [uid(patient, series, k) for k in range(len(zs))]
        for k, z in enumerate(zs):
            d = new(CT_CLASS, self.sop[k], "CT", patient, study)
            d.SeriesInstanceUID, d.FrameOfReferenceUID, d.ImageType = (
                self.series,
                self.frame,
                ["ORIGINAL", "PRIMARY", "AXIAL"],
            )
            d.ImagePositionPatient = [f"{v:.6g}" for v in self.origin + self.nrm * z]
            d.ImageOrientationPatient, d.PixelSpacing, d.SliceThickness = [f"{v:.8g}" for v in iop], list(ps), 3
            d.InstanceNumber, d.Rows, d.Columns, d.PatientPosition = k + 1, rows, cols, "HFS"
            d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME2"
            d.BitsAllocated = d.BitsStored = 16
            d.HighBit, d.PixelRepresentation = 15, 1
            d.RescaleSlope, d.RescaleIntercept = 1, 0
            i, j = np.mgrid[0:rows, 0:cols]
            v = hu(k, i, j) if hu else (k * 40 + i * 3 + j)
            d.PixelData = np.asarray(v, "<i2").tobytes()
            if change:
                change(d, k)
            save(d, f"{folder}/CT{k:03d}.dcm")

    def world(self, k, i, j):
        """Return (x, y, z) of slice k (or at z mm, given as ('mm', z)), row i, column j."""
        z = k[1] if isinstance(k, tuple) else self.zs[k]
        return self.origin + self.nrm * z + self.r * self.ps[1] * j + self.c * self.ps[0] * i

    def box(self, k, i0, i1, j0, j1):
        """Return a closed rectangle around voxel centres i0..i1, j0..j1 (half a voxel beyond them)."""
        return np.array(
            [
                self.world(k, i, j)
                for i, j in ((i0 - 0.5, j0 - 0.5), (i0 - 0.5, j1 + 0.5), (i1 + 0.5, j1 + 0.5), (i1 + 0.5, j0 - 0.5))
            ]
        )


def rtstruct(
    path, ct, rois, contour_items=None, observations=True, change=None, name_charset=None, label="CASE", patient=None
):
    """Write an RTSTRUCT; rois: list of (number, name, [(type, points), ...] or None for no ROIContour item)."""
    d = new(RS_CLASS, uid(path, "rs"), "RTSTRUCT", patient or ct.patient, ct.study, charset=name_charset)
    d.SeriesInstanceUID = uid(path, "rs series")
    d.StructureSetLabel = label
    d.StructureSetDate = "20260101"
    d.StructureSetTime = "000000"
    image = [Dataset() for _ in ct.sop]
    for one, s in zip(image, ct.sop, strict=True):
        one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID = CT_CLASS, s
    se = Dataset()
    se.SeriesInstanceUID, se.ContourImageSequence = ct.series, Sequence(image)
    st = Dataset()
    st.ReferencedSOPClassUID, st.ReferencedSOPInstanceUID = "1.2.840.10008.3.1.2.3.1", d.StudyInstanceUID
    st.RTReferencedSeriesSequence = Sequence([se])
    fr = Dataset()
    fr.FrameOfReferenceUID, fr.RTReferencedStudySequence = ct.frame, Sequence([st])
    d.ReferencedFrameOfReferenceSequence = Sequence([fr])
    d.StructureSetROISequence, d.ROIContourSequence, obs = Sequence(), Sequence(), Sequence()
    for number, name, contours in rois:
        r = Dataset()
        r.ROINumber, r.ReferencedFrameOfReferenceUID, r.ROIName, r.ROIGenerationAlgorithm = number, ct.frame, name, ""
        d.StructureSetROISequence.append(r)
        o = Dataset()
        o.ObservationNumber, o.ReferencedROINumber, o.RTROIInterpretedType, o.ROIInterpreter = (
            number,
            number,
            "ORGAN",
            "",
        )
        obs.append(o)
        if contours is None:
            continue
        d.ROIContourSequence.append(contour_item(number, contours))
    for item in contour_items or []:
        d.ROIContourSequence.append(item)
    if observations:
        d.RTROIObservationsSequence = obs
    if change:
        change(d)
    save(d, path)
    return d


def contour_item(number, contours):
    c = Dataset()
    c.ReferencedROINumber, c.ROIDisplayColor, c.ContourSequence = number, [255, 0, 0], Sequence()
    for kind, points in contours:
        x = Dataset()
        p = np.asarray(points, float).reshape(-1, 3)
        x.ContourGeometricType, x.NumberOfContourPoints, x.ContourData = (
            kind,
            len(p),
            [f"{v:.6f}"[:16] for v in p.ravel()],
        )
        c.ContourSequence.append(x)
    return c


def rtdose(
    path,
    ct,
    array,
    ipp,
    iop=(1, 0, 0, 0, 1, 0),
    ps=(2.0, 2.0),
    gfov=None,
    scaling=0.001,
    kind="PHYSICAL",
    summation="PLAN",
    units="GY",
    plan="plan",
    bits=32,
    frame=None,
    change=None,
    tag="",
):
    d = new(RD_CLASS, uid(path, "rd", tag), "RTDOSE", ct.patient, ct.study)
    d.SeriesInstanceUID = uid(path, "rd series")
    d.FrameOfReferenceUID = frame or ct.frame
    n, rows, cols = array.shape
    d.ImagePositionPatient, d.ImageOrientationPatient, d.PixelSpacing = (
        [f"{v:.6g}" for v in ipp],
        [f"{v:.8g}" for v in iop],
        list(ps),
    )
    d.Rows, d.Columns, d.NumberOfFrames, d.FrameIncrementPointer = rows, cols, n, 0x3004000C
    d.GridFrameOffsetVector = [f"{v:.6g}" for v in (np.arange(n) * 2.0 if gfov is None else gfov)]
    d.SamplesPerPixel, d.PhotometricInterpretation, d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = (
        1,
        "MONOCHROME2",
        bits,
        bits,
        bits - 1,
        0,
    )
    d.DoseUnits, d.DoseType, d.DoseSummationType, d.DoseGridScaling = units, kind, summation, scaling
    if plan is not None:
        p = Dataset()
        p.ReferencedSOPClassUID, p.ReferencedSOPInstanceUID = RP_CLASS, uid(ct.patient, plan)
        d.ReferencedRTPlanSequence = Sequence([p])
    d.PixelData = np.rint(array / scaling).astype("<u4" if bits == 32 else "<u2").tobytes()
    d["PixelData"].VR = "OW"
    if change:
        change(d)
    save(d, path)
    return d


def rtplan(path, ct, plan="plan", fractions=1, brachy=True, dose=None):
    d = new(RP_CLASS, uid(ct.patient, plan), "RTPLAN", ct.patient, ct.study)
    d.SeriesInstanceUID = uid(path, "rp")
    d.FrameOfReferenceUID = ct.frame
    d.RTPlanLabel, d.RTPlanGeometry = plan, "PATIENT"
    g = Dataset()
    g.FractionGroupNumber, g.NumberOfFractionsPlanned, g.NumberOfBeams, g.NumberOfBrachyApplicationSetups = (
        1,
        fractions,
        0,
        1 if brachy else 0,
    )
    if brachy:
        b = Dataset()
        b.ReferencedBrachyApplicationSetupNumber = 1
        if dose:
            b.BrachyApplicationSetupDose = dose
        g.ReferencedBrachyApplicationSetupSequence = Sequence([b])
        d.BrachyTreatmentTechnique, d.BrachyTreatmentType = "INTRACAVITARY", "HDR"
    d.FractionGroupSequence = Sequence([g])
    save(d, path)
    return d
