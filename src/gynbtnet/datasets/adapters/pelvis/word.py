"""WORD: 150 abdominal CTs before radiotherapy with 16 organs, among them bladder, rectum and colon.

The files are ``imagesTr/word_0106.nii.gz`` with ``labelsTr/word_0106.nii.gz``; the parts ``Val`` and ``Ts`` are laid
out the same way.

Luo et al. 2022, Medical Image Analysis 82:102642; https://github.com/HiLab-git/WORD.
"""

import re
from pathlib import Path

from gynbtnet.datasets.adapters.labelled_archive import LabelledArchive
from gynbtnet.datasets.ingestion.public_archive import Archive

ARCHIVE = Archive("WORD", "https://github.com/HiLab-git/WORD", "GPL 3.0 (unverified)")
LABELS = {
    name: label
    for label, name in enumerate(
        (
            *("liver", "spleen", "kidney_left", "kidney_right", "stomach", "gallbladder", "esophagus", "pancreas"),
            *("duodenum", "colon", "intestine", "adrenal_glands", "rectum", "bladder"),
            *("femoral_head_left", "femoral_head_right"),
        ),
        start=1,
    )
}


def _label_map(image: Path) -> Path:
    """Return ``labelsTr/word_0106.nii.gz`` of ``imagesTr/word_0106.nii.gz``."""
    return image.parent.with_name(image.parent.name.replace("images", "labels")) / image.name


ADAPTER = LabelledArchive(
    "word",
    ARCHIVE,
    LABELS,
    re.compile(r"images(?:Tr|Val|Ts)/(word_\d{4})\.nii(?:\.gz)?$"),
    _label_map,
    "imagesTr/word_0106.nii.gz with labelsTr/word_0106.nii.gz",
).adapter
