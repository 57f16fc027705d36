"""The preview shows every structure in its colour, with notice, warnings and flags."""

from pathlib import Path

import numpy as np
from matplotlib.image import imread

from gynbtnet.imaging import Geometry, Segmentation, StructureNames, Volume
from gynbtnet.inference import preview
from gynbtnet.inference.prediction import Prediction
from gynbtnet.inference.preview import write_preview
from gynbtnet.inference.quality.failure_flags import Flag
from gynbtnet.pictures import visible_colour

NAMES = StructureNames.load()
GRID = Geometry((30, 60, 70), (4.0, 3.0, 3.0))
STRUCTURES = ("bladder", "rectum", "sigmoid")


def contours(*boxes: tuple[slice, ...]) -> Segmentation:
    labels = np.zeros(GRID.shape, np.uint8)
    for label, box in enumerate(boxes, start=1):
        labels[box] = label
    return Segmentation(Volume(labels, GRID), STRUCTURES)


def prediction(segmentation: Segmentation, *flags: Flag) -> Prediction:
    volumes = {name: segmentation.volume_cm3(name) for name in STRUCTURES}
    return Prediction(segmentation, volumes, {}, flags, dict.fromkeys(STRUCTURES), 0.7, warnings=("A warning.",))


def draw_preview(segmentation: Segmentation, path: Path, *flags: Flag, synthetic: bool = False) -> np.ndarray:
    image = Volume(np.zeros(GRID.shape, np.int16), GRID)
    write_preview(image, prediction(segmentation, *flags), path, names=NAMES, title="a scan", synthetic=synthetic)
    return imread(path)[..., :3]


def shows(picture: np.ndarray, structure: str) -> int:
    rgb = np.array([int(visible_colour(structure, NAMES)[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return int((np.abs(picture - rgb).max(axis=-1) < 0.05).sum())


def test_a_row_for_each_structure_that_was_found(tmp_path: Path) -> None:
    """Each of two structures without a common plane is drawn, because its own row shows it."""
    apart = contours(np.s_[3:8, 8:16, 8:16], np.s_[20:26, 40:50, 50:60])
    both = draw_preview(apart, tmp_path / "both.png")
    assert min(shows(both, "bladder"), shows(both, "rectum")) > 100
    assert shows(both, "sigmoid") == 0
    one = draw_preview(contours(np.s_[3:8, 8:16, 8:16]), tmp_path / "one.png")
    assert len(both) > 1.5 * len(one)


def test_words_are_added_and_not_cut(tmp_path: Path) -> None:
    segmentation = contours(np.s_[3:8, 8:16, 8:16])
    plain = draw_preview(segmentation, tmp_path / "plain.png")
    flagged = draw_preview(
        segmentation, tmp_path / "said.png", Flag("bladder", "edge", "It ends at the edge."), synthetic=True
    )
    assert len(flagged) > len(plain)  # one line more
    assert (tmp_path / "plain.png").read_bytes() != (tmp_path / "said.png").read_bytes()
    lines = preview._head(prediction(segmentation), NAMES, "a scan", True, columns=60)
    words = " ".join(line for line, _ in lines)
    for sentence in (
        "For research use only",
        "SYNTHETIC: no real patient",
        "A warning.",
        "Not found: Rectum, Sigmoid.",
    ):
        assert sentence in words
    flag = Flag("bladder", "edge", "It ends at the edge of the scan, where some of it is lost.")
    shown_lines = [line for line, _ in preview._structure_lines("bladder", prediction(segmentation, flag))]
    assert shown_lines[0] == f"{segmentation.volume_cm3('bladder'):.1f} cm³"
    assert " ".join(shown_lines[1:]) == flag.sentence


def test_a_row_is_as_high_as_its_text(tmp_path: Path) -> None:
    """Text below the planes would be cut off: the yellow of every flag is in the picture."""
    segmentation = contours(np.s_[3:8, 8:16, 8:16])
    sentence = "It ends at the edge of the scan, so part of it may be missing."
    few, many = (
        draw_preview(segmentation, tmp_path / f"{count}.png", *[Flag("bladder", "edge", sentence)] * count)
        for count in (4, 16)
    )
    assert len(many) > 1.5 * len(few)
    yellow = np.array([0xFF, 0xB4, 0x54]) / 255
    lines = [(np.abs(picture - yellow).max(axis=-1) < 0.1).sum() for picture in (few, many)]
    assert lines[1] > 2.5 * lines[0]  # four times the flags, and the warning at the top once


def test_nothing_found_shows_the_scan(tmp_path: Path) -> None:
    assert draw_preview(contours(), tmp_path / "nothing.png").max() > 0.9
