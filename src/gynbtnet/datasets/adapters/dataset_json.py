"""``dataset.json``, in which nnU-Net and the Medical Segmentation Decathlon say what labels and channels mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.plain_data import load_json

NAME = "dataset.json"
_BACKGROUND = "background"
_HIGHEST = 65535  # what label maps of any archive hold


@dataclass(frozen=True)
class DatasetJson:
    """What the file says.

    Attributes:
        path: of the file.
        channels: what the images of a case are, in their order.
        labels: label by name, without background.
        content: everything in it.
    """

    path: Path
    channels: tuple[str, ...]
    labels: Mapping[str, int]
    content: Mapping[str, Any]

    @classmethod
    def load(cls, folder: Path) -> "DatasetJson":
        """Read it in either form: names to numbers as nnU-Net 2 has them, or numbers to names as the older ones.

        Raises:
            BadInput: where it is absent, damaged, or says something that a cohort can't: regions that overlap, or
                voxels to be ignored.
        """
        path = folder / NAME
        if not path.is_file():
            raise BadInput(f"There is no {NAME} in {folder}; expected the folder of one dataset.")
        try:
            content = load_json(path)
            channels = content.get("channel_names", content.get("modality"))
            names = tuple(str(channels[str(i)]) for i in range(len(channels)))
            stated = content["labels"]
            pairs = [_named(key, value) for key, value in stated.items()]
            if not names:
                raise ValueError("no channel")
        except (ValueError, LookupError, TypeError, AttributeError, OSError) as error:
            raise BadInput(
                f"{path} can't be read; expected JSON with channel_names (or modality) and labels, numbered from 0."
            ) from error
        odd = [name for name, label in pairs if label is None or name == "ignore"]
        if odd:
            raise BadInput(
                f"{path} has the label {odd[0]}, which is a region of several or to be ignored; expected labels of "
                "which a voxel has one."
            )
        labels = {name: label for name, label in pairs if label and name != _BACKGROUND}
        wrong = next((name for name, label in labels.items() if not 0 < label <= _HIGHEST), None)
        if wrong is not None or len(set(labels.values())) < len(labels):
            raise BadInput(
                f"{path} numbers its labels {', '.join(str(label)[:9] for label in list(labels.values())[:20])}; "
                f"expected whole numbers from 1 to {_HIGHEST}, each once."
            )
        return cls(path, names, labels, content)

    @property
    def folder(self) -> Path:
        """The folder of the dataset."""
        return self.path.parent


def one_description(sources: Sequence[Path]) -> list[DatasetJson]:
    """The descriptions of several folders.

    Raises:
        BadInput: where they don't say the same of labels and channels.
    """
    described = [DatasetJson.load(source) for source in sources]
    for one in described[1:]:
        if (one.channels, one.labels) != (described[0].channels, described[0].labels):
            raise BadInput(f"{one.path} has other labels or channels than {described[0].path}; ingest each by itself.")
    return described


def _named(key: str, value: Any) -> tuple[str, int | None]:
    """Name and label of an entry; no label where it is a region."""
    if key.isdigit():
        return str(value), int(key)
    return key, value if isinstance(value, int) and not isinstance(value, bool) else None
