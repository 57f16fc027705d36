"""Structures from DICOM RTSTRUCT.

A contour belongs to the slice nearest to its plane, by position and never by UID. Contours that are all off their
slices by one distance are moved together. Where planes at several heights are nearest to one slice, because contours
were drawn on a finer scan, the nearest of them counts and a note tells of the others. Copies of a contour count once.
Slices between contours stay empty, with a note; if the structure is drawn on every second or third slice, they are
interpolated. A contour more than half a slice beyond the ends of the scan, or more than a voxel beside it, was drawn on
another scan, and is an error. So is a structure that has contours and ends up without a voxel.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gynbtnet.imaging.contours.contour_copies import COPY_DISTANCE, drop_copies
from gynbtnet.imaging.contours.contour_nesting import XorLoss, nesting_losses
from gynbtnet.imaging.contours.contour_planes import SAME_PLANE, snap_to_planes
from gynbtnet.imaging.contours.contours_to_mask import Contour, contours_to_mask
from gynbtnet.imaging.contours.shape_interpolation import interpolate_shapes
from gynbtnet.imaging.contours.undrawn_slices import LONGEST_GAP, find_gaps, is_sparse
from gynbtnet.imaging.dicom.ct_series import CTSeries
from gynbtnet.imaging.dicom.objects import dicom_errors_as_bad_input
from gynbtnet.imaging.dicom.rtstruct_reference import RTStructReference, open_rtstruct, referenced_series_of
from gynbtnet.imaging.dicom.rtstruct_regions import DrawnContour, Region, read_regions
from gynbtnet.imaging.label_map import Overlap, label_map
from gynbtnet.imaging.roi_matching import match_rois
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Segmentation
from gynbtnet.runtime.array_types import FloatArray, IntArray, Mask
from gynbtnet.runtime.errors import BadInput

LARGEST_COUNT = 1_000_000
"""Points in a contour, and contours in a ROI; more is damage."""

_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_FLAT = 0.5  # slices over which the points of one contour may spread
_BESIDE = 1.0  # voxels that a contour may reach beyond the outer faces of the scan
_NOISE = 0.02  # slices by which rounding moves a contour that lies half-way
_WIDTH = 0.01  # mm; what is narrower everywhere is a line and encloses nothing
_TOLD_SHIFT = 0.1  # mm beside its slice from which a contour is reported
_MOST_LOST = 0.2  # share of a structure that crossing contours may take from each other
_MOST_LOST_ON_SLICE = 0.5  # share of a slice
_MOSTLY = 0.5  # share of a structure's steps; with more that leave many slices out, it is drawn too sparsely
_SMALL_SLICE = 0.01  # share of a structure; what is lost on a slice and is less stops nothing


@dataclass(frozen=True)
class ContourReport:
    """What reading contours found.

    Attributes:
        rois: name of the ROI that each structure was read from.
        missing: wanted structures without a ROI that has contours.
        unmapped: names of ROIs that no structure answers to.
        overlaps: where the label map had to decide.
        notes: what else had to be decided, a sentence each.
    """

    rois: Mapping[str, str]
    missing: tuple[str, ...]
    unmapped: tuple[str, ...]
    overlaps: tuple[Overlap, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Roi:
    """A region of interest, as a list of ROIs shows it.

    Attributes:
        contours: how many closed ones it has.
        kind: its RT ROI Interpreted Type, empty where unknown.
    """

    name: str
    kind: str
    contours: int


def list_rois(path: Path) -> tuple[Roi, ...]:
    """The ROIs of an RTSTRUCT, in its order.

    Raises:
        BadInput: where ``path`` is no readable RTSTRUCT.
    """
    path = Path(path)
    with dicom_errors_as_bad_input(path):
        return tuple(Roi(one.name, one.kind, len(one.contours)) for one in read_regions(open_rtstruct(path)))


def read_rtstruct(
    path: Path, ct: CTSeries, structures: Sequence[str], names: StructureNames
) -> tuple[Segmentation, ContourReport]:
    """Read ``structures`` onto the grid of ``ct``, as label 1, 2, … in their order.

    Where structures overlap, the later one in ``structures`` gets the voxels. On a repaired scan
    contours on an interpolated plane count; a plane without any takes the shape between its neighbours' contours.

    Raises:
        BadInput: another frame of reference, no wanted structure, several ROIs for one structure or of one number, a
            contour that is open, not finite, tilted against the slices, or outside the scan, or contours that enclose
            no voxel or take too much from each other.
    """
    path = Path(path)
    with dicom_errors_as_bad_input(path):
        rtstruct = open_rtstruct(path)
        reference, regions = referenced_series_of(rtstruct), read_regions(rtstruct)
    unused = [_why_unused(one, reference, ct) for one in regions]
    choice = match_rois([one.name for one in regions], [not why for why in unused], structures, names, path, unused)
    _refuse_shared_numbers(list(choice.rois.values()), regions, path)
    placed, moved = _moved({key: _placed(regions[i], ct, path) for key, i in choice.rois.items()}, ct)
    masks: dict[str, Mask] = {}
    notes = [*choice.unusable, *moved]
    for structure, number in choice.rois.items():
        masks[structure], found = _mask(regions[number].name, placed[structure], ct)
        notes += found
    segmentation, overlaps = label_map(masks, structures, ct.volume.geometry)
    rois = {structure: regions[number].name for structure, number in choice.rois.items()}
    return segmentation, ContourReport(rois, choice.missing, choice.unmapped, overlaps, tuple(notes))


def _refuse_shared_numbers(chosen: Sequence[int], regions: Sequence[Region], path: Path) -> None:
    """BadInput where another ROI has the number of one that is wanted: nobody knows whose the contours are."""
    for number in chosen:
        sharing = [one.name for one in regions if one.number == regions[number].number]
        if len(sharing) > 1:
            listed = " and ".join(f"“{name}”" for name in sharing)
            raise BadInput(
                f"{path} has {len(sharing)} ROIs of the number {regions[number].number}: {listed}; which contours "
                "belong to which can't be known: number the ROIs differently in the planning system and export again."
            )


def _is_on(region: Region, reference: RTStructReference, ct: CTSeries) -> bool:
    """Whether a ROI was drawn in the CT's frame of reference.

    Its own frame decides; if it names none, the frames that the structure set lists; if the CT or the structure set
    names none, the series and images that they refer to.
    """
    own, listed, frame = region.frame_of_reference_uid, reference.listed_frames, ct.frame_of_reference_uid
    on_images = any(uid in {one.sop_instance_uid for one in ct.slices} for uid in region.image_uids)
    if own and frame:
        return own == frame
    if listed and frame:
        return frame in listed and (len(listed) == 1 or not region.image_uids or on_images)
    if not own and not listed and not frame:
        return True
    return on_images or (bool(ct.series_uid) and ct.series_uid in reference.series_uids)


def _why_unused(region: Region, reference: RTStructReference, ct: CTSeries) -> str:
    """Why a ROI can't be used, as the end of a sentence; empty where it can."""
    if not region.contours:
        return "has no contours"
    if _is_on(region, reference, ct):
        return ""
    frame = region.frame_of_reference_uid or ", ".join(reference.listed_frames) or "(unnamed)"
    return f"is drawn in the frame of reference {frame} instead of the CT's, {ct.frame_of_reference_uid or '(unnamed)'}"


@dataclass(frozen=True, eq=False)
class _Placed:
    """A ROI's contours that enclose something.

    Attributes:
        name: of the ROI and its file, for messages.
        points: of each contour, (n, 3) in mm.
        heights: of each contour along the volume's z, in slices.
        notes: what was left out, a sentence each.
    """

    name: str
    points: tuple[FloatArray, ...]
    heights: FloatArray
    notes: tuple[str, ...]


def _placed(region: Region, ct: CTSeries, path: Path) -> _Placed:
    """Parse the ROI's contours and find their planes."""
    name = f"“{region.name}” in {path}"
    if len(region.contours) > LARGEST_COUNT:
        raise BadInput(
            f"{name} has {len(region.contours)} contours; at most {LARGEST_COUNT} make sense: is it damaged?"
        )
    parsed = [_points(one, f"Contour {i} of {name}") for i, one in enumerate(region.contours, start=1)]
    numbers = [i for i, points in enumerate(parsed, start=1) if _encloses(points)]
    if not numbers:
        raise BadInput(
            f"{name} has {len(parsed)} contours, and none of them encloses anything: each has fewer than three points "
            "or no area; draw the structure again, or delete the ROI."
        )
    notes: tuple[str, ...] = ()
    if len(numbers) < len(parsed):
        left_out = len(parsed) - len(numbers)
        note = (
            f"“{region.name}” has {left_out} of {len(parsed)} contours with fewer than three points or without area; "
            "they enclose nothing and were left out."
        )
        notes = (note,)
    points = tuple(parsed[i - 1] for i in numbers)
    return _Placed(name, points, _planes(points, numbers, ct, name), notes)


def _moved(placed: Mapping[str, _Placed], ct: CTSeries) -> tuple[dict[str, _Placed], list[str]]:
    """Move contours onto the slices if they are all off them by one distance, and a note if they were off."""
    heights = np.concatenate([one.heights for one in placed.values()])
    places = ct.places
    moved, shift = heights, 0.0
    if (places == np.rint(places)).all():
        moved, shift = snap_to_planes(heights, ct.volume.geometry.shape[0] - 1)
    step = ct.volume.geometry.spacing[0]
    beside = np.abs(heights[:, None] - places).min(axis=1).max() * step
    notes = []
    if abs(shift) * step > _TOLD_SHIFT:
        notes.append(
            f"All contours lie {abs(shift) * step:.2f} mm beside the CT's slices; all were moved "
            f"{'up' if shift > 0 else 'down'} along the slices' normal, onto them."
        )
    elif beside > _TOLD_SHIFT:
        notes.append(f"Contours lie up to {beside:.2f} mm beside the CT's slices; each went to the nearest slice.")
    ends = np.cumsum([len(one.heights) for one in placed.values()])[:-1]
    parts = np.split(moved, ends)
    return {key: replace(one, heights=part) for (key, one), part in zip(placed.items(), parts, strict=True)}, notes


def _mask(roi: str, placed: _Placed, ct: CTSeries) -> tuple[Mask, list[str]]:
    """The ROI's voxels on the grid of the CT, and notes."""
    points, heights = placed.points, placed.heights
    slices = np.asarray([ct.slice_at(height) for height in heights])
    places = ct.places
    kept = np.zeros(len(points), bool)
    for slice in np.unique(slices):
        here = np.flatnonzero(slices == slice)
        nearest = heights[here[np.abs(heights[here] - places[slice]).argmin()]]
        kept[here[np.abs(heights[here] - nearest) <= SAME_PLANE]] = True
    notes = list(placed.notes)
    if not kept.all():
        notes.append(
            f"“{roi}” has {np.count_nonzero(~kept)} contours between slices that already have nearer ones; "
            "they were left out."
        )
    geometry = ct.slice_grid
    normal = np.asarray(geometry.direction).reshape(3, 3)[:, 2]
    flat = [one - np.outer((one - geometry.origin) @ normal, normal) for one in points]  # copies may differ in height
    every = [Contour(flat[i], int(slices[i])) for i in np.flatnonzero(kept)]
    contours, copies = drop_copies(every, min(COPY_DISTANCE, min(geometry.spacing[1:]) / 2))
    if copies:
        notes.append(f"“{roi}” has {copies} contours that are copies of others on their slices; each counts once.")
    mask = contours_to_mask(contours, geometry)
    if not mask.any():
        raise BadInput(
            f"{placed.name} has {len(contours)} contours, and no voxel centre of the CT is inside of them (voxels of "
            f"{' × '.join(f'{value:.3g}' for value in geometry.spacing[1:])} mm within a slice); expected a structure "
            "larger than a voxel, whose contours don't cancel each other: draw it again, or delete the ROI."
        )
    notes += _lost(roi, placed.name, contours, mask, ct)
    mask, filled = _filled(roi, placed.name, mask, np.unique(slices), ct)
    return ct.on_planes(mask), notes + filled


def _lost(roi: str, name: str, contours: Sequence[Contour], mask: Mask, ct: CTSeries) -> list[str]:
    """Refuse contours that take too much from each other by crossing; a note on less.

    Raises:
        BadInput: If a structure or a slice of it loses too much.
    """
    found = nesting_losses(contours, ct.slice_grid)
    if not found:
        return []
    lost = sum(one.lost for one in found)
    enclosed = int(np.count_nonzero(mask)) + lost
    worst = max(found, key=lambda one: one.lost)
    cm3 = ct.volume.geometry.voxel_volume / 1000
    what = (
        f"has contours that cross others of their slice or enclose nearly the same, on {len(found)} slices, most on "
        f"slice {worst.z + 1} of {len(ct.places)}"
    )
    most = max((one for one in found if one.lost > _SMALL_SLICE * enclosed), key=_share, default=None)
    if lost > _MOST_LOST * enclosed or (most is not None and _share(most) > _MOST_LOST_ON_SLICE):
        raise BadInput(
            f"{name} {what}; {lost * cm3:.2f} of {enclosed * cm3:.2f} cm³ would be lost, since voxels in two contours "
            "count as a hole: delete the contours that are there twice."
        )
    return [f"“{roi}” {what}; {lost * cm3:.2f} cm³ inside of two of them count as a hole."]


def _share(loss: XorLoss) -> float:
    return loss.lost / loss.enclosed


def _filled(roi: str, name: str, mask: Mask, drawn: IntArray, ct: CTSeries) -> tuple[Mask, list[str]]:
    """Interpolate slices without a contour if the structure is drawn on every second or third one; and notes.

    Raises:
        BadInput: If it is drawn on even fewer.
    """
    gaps = find_gaps(drawn, ct.scanned)
    within = [
        gap for gap in gaps if (mask[gap.below] & mask[gap.above]).any()
    ]  # the others part islands from each other
    notes = []
    if is_sparse(drawn, within):
        usual = float(np.median([gap.slices for gap in within]))
        if usual > LONGEST_GAP and len(within) > _MOSTLY * (len(drawn) - 1):
            raise BadInput(
                f"{name} is drawn on every {usual + 1:.0f}th slice only; at most {LONGEST_GAP} slices in a row are "
                "interpolated: interpolate its contours in the planning system and export it again."
            )
        filled = [gap for gap in within if gap.slices <= LONGEST_GAP]
        for gap in filled:
            ends, between = [gap.below, gap.above], np.arange(gap.below + 1, gap.above)
            shapes = interpolate_shapes(mask[ends], ct.places[ends], ct.places[between], ct.volume.geometry.spacing)
            mask = np.concatenate([mask[: gap.below + 1], shapes, mask[gap.above :]])
        if filled:
            notes.append(
                f"“{roi}” is drawn on {len(drawn)} of {len(drawn) + sum(gap.slices for gap in gaps)} slices; "
                f"{sum(gap.slices for gap in filled)} slices between them were interpolated."
            )
        gaps = [gap for gap in gaps if gap not in filled]
    empty = sum(gap.slices for gap in gaps)
    if empty:
        notes.append(f"“{roi}” has {empty} slices without a contour between slices that have one.")
    return mask, notes


def _planes(points: Sequence[FloatArray], numbers: Sequence[int], ct: CTSeries, name: str) -> FloatArray:
    """Where each contour lies along the volume's z, in slices; ``numbers`` are theirs in the file.

    Raises:
        BadInput: where one is not parallel to the slices, or reaches beyond the scan.
    """
    geometry = ct.volume.geometry
    ends = np.cumsum([0, *(len(one) for one in points)])
    index = geometry.to_index(np.concatenate(points))
    low, high = np.minimum.reduceat(index, ends[:-1]), np.maximum.reduceat(index, ends[:-1])
    middle = (low[:, 0] + high[:, 0]) / 2
    last = np.asarray(geometry.shape) - 1
    tilted = high[:, 0] - low[:, 0] > _FLAT
    beyond = (middle < -0.5 - _NOISE) | (middle > last[0] + 0.5 + _NOISE)
    beside = ((low < -0.5 - _BESIDE) | (high > last + 0.5 + _BESIDE))[:, 1:].any(axis=1)
    for wrong, sentence in (
        (tilted, "is not parallel to the CT's slices; expected contours drawn on this CT"),
        (beyond, "lies beyond the first or last slice of the CT; give the whole series that it was drawn on"),
        (beside, "has points outside the CT's images; expected contours drawn on this CT"),
    ):
        if wrong.any():
            first = int(np.flatnonzero(wrong)[0])
            at = ", ".join(f"{value:.2f}" for value in points[first][0])
            place = f"at ({at}) mm, nearest to slice {ct.slice_at(middle[first]) + 1} of {len(ct.places)}"
            raise BadInput(f"Contour {numbers[first]} of {name}, {place}, {sentence}.")
    return np.asarray(middle)


def _points(contour: DrawnContour, where: str) -> FloatArray:
    """Points (n, 3) in mm. The text is parsed here: pydicom makes an object of every number, at 20 times the cost."""
    values = _numbers(contour.text)
    at = f", at ({', '.join(f'{value:.2f}' for value in values[:3])}) mm," if len(values) >= 3 else ""
    if contour.kind not in _CLOSED:
        raise BadInput(
            f"{where}{at} is of type {contour.kind or 'unknown'}; expected CLOSED_PLANAR: close or delete it."
        )
    if not np.isfinite(values).all():
        raise BadInput(f"{where}{at} holds a value that is no finite number; export the RTSTRUCT again.")
    if len(values) % 3 or len(values) > 3 * LARGEST_COUNT:
        raise BadInput(
            f"{where}{at} holds {len(values)} coordinates; expected three a point and at most {LARGEST_COUNT} points: "
            "delete it."
        )
    if contour.count not in ("", "0", str(len(values) // 3)):
        raise BadInput(
            f"{where}{at} claims {contour.count} points and holds {len(values) // 3}; it is damaged: export it again."
        )
    return values.reshape(-1, 3)


def _encloses(points: FloatArray) -> bool:
    """Whether a contour, points (n, 3) in mm, has three points that are not on one line, and isn't a line retraced."""
    if len(points) < 3:
        return False
    from_first = points - points[0]
    farthest = from_first[np.linalg.norm(from_first, axis=1).argmax()]
    length = float(np.linalg.norm(farthest))
    wide = length > _WIDTH and np.linalg.norm(np.cross(from_first, farthest), axis=1).max() > _WIDTH * length
    return bool(wide) and not _is_retraced(points)


def _is_retraced(points: FloatArray) -> bool:
    """Whether a closed polygon runs along each of its edges as often back as forth, so that nothing lies within."""
    corners, number = np.unique(np.rint(points / _WIDTH), axis=0, return_inverse=True)
    number = number.reshape(-1)
    following = np.roll(number, -1)
    moves = number != following
    forth = np.sort((number * len(corners) + following)[moves])
    back = np.sort((following * len(corners) + number)[moves])
    return np.array_equal(forth, back)


def _numbers(text: bytes) -> FloatArray:
    """The decimal strings in ``text``; a single NaN where one is no number."""
    if not text.strip(b" \0"):
        return np.empty(0)
    if b"_" in text:  # Python reads "1_0" as 10
        return np.asarray([np.nan])
    try:
        return np.asarray([float(value) for value in text.rstrip(b" \0").split(b"\\")])
    except ValueError:
        return np.asarray([np.nan])
