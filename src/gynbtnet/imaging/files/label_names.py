"""Names of the labels of a label map file: a JSON file next to it, in the form of nnU-Net's ``dataset.json``."""

import json
from collections.abc import Sequence
from pathlib import Path

from gynbtnet.imaging.files.volume_files import without_suffix
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.plain_data import load_json


def label_names_file(labels: Path) -> Path:
    """Return the path of ``labels.json`` next to ``labels.nii.gz``."""
    return labels.with_name(f"{without_suffix(labels.name)}.json")


def labels_by_name(structures: Sequence[str]) -> dict[str, int]:
    """Return labels by name as in nnU-Net's ``dataset.json``: ``{"background": 0, "hr_ctv": 1, …}``."""
    return {"background": 0} | {name: label for label, name in enumerate(structures, start=1)}


def write_label_names(labels: Path, structures: tuple[str, ...]) -> None:
    """Write the names of the labels 1, 2, … to a file next to the label map.

    Args:
        labels: path of the label map.
        structures: names of the labels 1, 2, ….
    """
    table = {"labels": labels_by_name(structures)}
    with atomic_write(label_names_file(labels)) as partial:
        partial.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


def names_are_in_use(labels: Path, structures: Sequence[str]) -> bool:
    """Return whether the file of the names has another purpose, so that new names would do harm.

    It has something else than names, or it has other names and belongs to another label map, such as ``labels.nrrd``.

    Args:
        labels: path of the label map to write.
        structures: names of its labels 1, 2, ….
    """
    names_file = label_names_file(labels)
    if not names_file.is_file():
        return False
    try:
        names = read_label_names(labels)
    except BadInput:
        return True
    if names is None:
        return True
    siblings = (path for path in labels.parent.iterdir() if path not in (labels, names_file))
    return names != tuple(structures) and any(without_suffix(path.name) == names_file.stem for path in siblings)


def read_label_names(labels: Path) -> tuple[str, ...] | None:
    """Return the names of the labels 1, 2, …; None if there is no file of names next to the label map.

    A JSON file without ``labels``, such as the acquisition data that dcm2niix writes (BIDS), has another purpose.

    Args:
        labels: path of the label map.

    Returns:
        The names in the order of the labels, or None.

    Raises:
        BadInput: If the file is damaged or omits a label.
    """
    path = label_names_file(labels)
    if not path.is_file():
        return None
    try:
        content = load_json(path)
        if isinstance(content, dict) and "labels" not in content:
            return None
        stored = content["labels"]
        by_label = {int(label): str(name) for name, label in stored.items() if int(label) != 0}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise BadInput(
            f'{path} does not name labels; expected {{"labels": {{"background": 0, "hr_ctv": 1}}}}, or no file.'
        ) from error
    if sorted(by_label) != list(range(1, len(by_label) + 1)):
        raise BadInput(f"{path} names the labels {sorted(by_label)}; expected 1, 2, … without a gap: complete it.")
    return tuple(by_label[label] for label in sorted(by_label))


def read_predicted_names(labels: Path) -> tuple[str, ...] | None:
    """Return the names of the labels 1, 2, … from the ``prediction.json`` in the same folder; None without one.

    So a prediction that was corrected in another program can be converted without naming its labels again.

    Args:
        labels: path of the label map.

    Raises:
        BadInput: If the file is damaged.
    """
    path = labels.with_name("prediction.json")
    if not path.is_file():
        return None
    try:
        return tuple(str(name) for name in load_json(path)["structures"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise BadInput(f"{path} is damaged; name the structures of label 1, 2, … with --structures.") from error
