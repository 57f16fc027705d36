"""Page of one predicted scan: what to review, volumes, and three planes to scroll through."""

from pathlib import Path

import numpy as np

from gynbtnet.imaging.mask_measures import union_of_boxes
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.inference.prediction import Prediction
from gynbtnet.pages.html_elements import Badge
from gynbtnet.pages.patient_page import PatientPage, StructureRow, render_patient_page
from gynbtnet.pages.slice_drawing import StructureStyle
from gynbtnet.pages.slice_stack import slice_stack
from gynbtnet.pages.slice_viewer import ViewedCase
from gynbtnet.pictures.overlays import MARGIN_MM, visible_colour
from gynbtnet.pictures.planes import PLANES, as_displayed
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.phrases import counted, enumeration

PREDICTION = "prediction"
"""Name of the contours in the viewer."""


def write_patient_page(
    scan: Volume,
    prediction: Prediction,
    path: Path,
    *,
    names: StructureNames,
    title: str,
    facts: tuple[tuple[str, str], ...],
    synthetic: bool,
) -> None:
    """Write the page of a prediction.

    Args:
        scan: CT in HU.
        prediction: prediction on the scan's grid.
        path: path of the HTML file.
        names: names and colours of the structures.
        title: title of the page; never a name or a PatientID.
        facts: names and values of the last section.
        synthetic: state that no real patient was scanned.
    """
    rows = tuple(structure_row(structure, prediction, names) for structure in prediction.structures)
    page = PatientPage(
        title=title,
        summary=summary_sentence(prediction, names),
        facts=facts,
        synthetic=synthetic,
        warnings=tuple(dict.fromkeys(prediction.warnings)),
        scans=("",),
        structures=rows,
        case=viewed_prediction(scan, prediction.segmentation, names),
        notes=prediction.notes,
    )
    with atomic_write(path) as partial:
        partial.write_text(render_patient_page(page), encoding="utf-8")


def summary_sentence(prediction: Prediction, names: StructureNames) -> str:
    """Return the result in a sentence: structures that were found, and those to review."""
    flagged = dict.fromkeys(flag.structure for flag in prediction.flags)
    review = [
        structure
        for structure in prediction.structures
        if structure in flagged or structure in prediction.missing or prediction.needs_review(structure)
    ]
    found = len(prediction.structures) - len(prediction.missing)
    parts = [f"{found} of {counted(len(prediction.structures), 'structure')} contoured"]
    if prediction.missing:
        parts.append(f"not found: {enumeration(tuple(map(names.display_name, prediction.missing)))}")
    if review:
        parts.append(f"check first: {enumeration(tuple(map(names.display_name, review)))}")
    else:
        parts.append("no flag")
    return f"{'; '.join(parts)}. Every contour needs review before use."


def structure_row(structure: str, prediction: Prediction, names: StructureNames) -> StructureRow:
    """Return volume, predicted DSC and flags of a structure."""
    remarks = tuple(flag.sentence for flag in prediction.flags if flag.structure == structure)
    predicted = prediction.predicted_dsc.get(structure)
    if structure in prediction.missing:
        status = Badge("not found", "bad", "review first")
    elif prediction.needs_review(structure):
        status = Badge("review", "bad", "review first")
    elif remarks:
        status = Badge("flagged", "fair", "look at the reason")
    else:
        status = Badge("no flag", "good", "no flag")
    return StructureRow(
        name=names.display_name(structure),
        colour=visible_colour(structure, names),
        volumes=(f"{prediction.volumes_cm3[structure]:.1f}",),
        predicted_dsc=f"{predicted.dsc:.2f} ({predicted.low:.2f}–{predicted.high:.2f})" if predicted else "",
        status=status,
        remarks=remarks,
    )


def viewed_prediction(scan: Volume, segmentation: Segmentation, names: StructureNames) -> ViewedCase:
    """Return a scan and its predicted contours for the viewer, cropped to the contours."""
    box = scan.geometry.cube_around(union_of_boxes(segmentation.boxes().values()), MARGIN_MM)
    image, shown = as_displayed(scan.cropped(box)), segmentation.cropped(box).mapped(as_displayed)
    covered = shown.covered()
    shape = np.asarray(image.array.shape)
    middle = np.argwhere(covered).mean(axis=0) if covered.any() else (shape - 1) / 2
    return ViewedCase(
        title="Three planes",
        caption="Lines: prediction. The planes cross at the middle of the contours.",
        stacks=tuple(
            slice_stack(image, {PREDICTION: shown}, plane, float(middle[axis]), is_wide=True)
            for axis, plane in enumerate(PLANES)
        ),
        models=(PREDICTION,),
        styles={
            name: StructureStyle(names.display_name(name), visible_colour(name, names)) for name in shown.structures
        },
        has_reference=False,
    )
