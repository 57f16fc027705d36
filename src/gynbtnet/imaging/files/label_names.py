"""What the labels of a label map file mean: a JSON file beside it, in the form of nnU-Net's ``dataset.json``."""

import json
from pathlib import Path

from gynbtnet.imaging.files.volume_files import without_suffix
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.plain_data import load_json


def label_names_file(labels: Path) -> Path:
    """``labels.json`` beside ``labels.nii.gz``."""
    return labels.with_name(f"{without_suffix(labels.name)}.json")


def write_label_names(labels: Path, structures: tuple[str, ...]) -> None:
    """Write the names of the labels 1, 2, … beside the label map."""
    table = {"labels": {"background": 0} | {name: label for label, name in enumerate(structures, start=1)}}
    with atomic_write(label_names_file(labels)) as partial:
        partial.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


def read_label_names(labels: Path) -> tuple[str, ...] | None:
    """The names of the labels 1, 2, …; None where no file beside the label map gives them.

    Raises:
        BadInput: where the file is damaged, or leaves out a label.
    """
    path = label_names_file(labels)
    if not path.is_file():
        return None
    try:
        labelled = load_json(path)["labels"]
        by_label = {int(label): str(name) for name, label in labelled.items() if int(label) != 0}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise BadInput(
            f'{path} gives no names of labels; expected {{"labels": {{"background": 0, "hr_ctv": 1}}}}, or no file.'
        ) from error
    if sorted(by_label) != list(range(1, len(by_label) + 1)):
        raise BadInput(f"{path} names the labels {sorted(by_label)}; expected 1, 2, … without a gap: complete it.")
    return tuple(by_label[label] for label in sorted(by_label))
