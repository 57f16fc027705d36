"""Check that a ROI belongs to the frame of reference of a CT."""

from gynbtnet.imaging.dicom.ct_series import CTSeries
from gynbtnet.imaging.dicom.rt.rtstruct_rois import StoredROI
from gynbtnet.imaging.dicom.rtstruct_reference import RTStructReference


def reason_unusable(roi: StoredROI, reference: RTStructReference, ct: CTSeries) -> str:
    """Return why a ROI can't be used on a CT, as the end of a sentence; empty if it can.

    Args:
        roi: the ROI.
        reference: references of its structure set.
        ct: the CT.
    """
    if not roi.contours:
        return "has no contours"
    if _is_on_ct(roi, reference, ct):
        return ""
    frame = roi.frame_of_reference_uid or ", ".join(reference.listed_frames) or "(unnamed)"
    return f"is drawn in the frame of reference {frame} instead of the CT's, {ct.frame_of_reference_uid or '(unnamed)'}"


def _is_on_ct(roi: StoredROI, reference: RTStructReference, ct: CTSeries) -> bool:
    """Check if a ROI was drawn in the CT's frame of reference.

    The ROI's frame decides. If it is absent, the frames that the structure set lists decide. If the CT or the structure
    set has none, the series and images decide that they refer to.
    """
    roi_frame, listed, ct_frame = roi.frame_of_reference_uid, reference.listed_frames, ct.frame_of_reference_uid
    is_on_images = any(uid in {image.sop_instance_uid for image in ct.slices} for uid in roi.image_uids)
    if roi_frame and ct_frame:
        return roi_frame == ct_frame
    if listed and ct_frame:
        return ct_frame in listed and (len(listed) == 1 or not roi.image_uids or is_on_images)
    if not roi_frame and not listed and not ct_frame:
        return True
    return is_on_images or (bool(ct.series_uid) and ct.series_uid in reference.series_uids)
