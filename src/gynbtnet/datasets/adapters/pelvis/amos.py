"""AMOS: abdominal CTs and MRs with 15 organs, among them the bladder, and the prostate or uterus as one structure.

The files are ``imagesTr/amos_0001.nii.gz`` with ``labelsTr/amos_0001.nii.gz``, and ``imagesVa`` with ``labelsVa``.
Numbers from 500 on are MRs, which are left out. ``imagesTs`` has no contours and is ignored.

Ji et al. 2022, NeurIPS Datasets and Benchmarks, arXiv:2206.08023; https://amos22.grand-challenge.org.
"""

import re
from pathlib import Path

from gynbtnet.datasets.adapters.labelled_archive import LabelledArchive
from gynbtnet.datasets.ingestion.public_archive import Archive

ARCHIVE = Archive(
    "AMOS", "https://amos22.grand-challenge.org", "CC BY-NC (unverified: its copies state different terms)"
)
LABELS = {
    name: label
    for label, name in enumerate(
        (
            *("spleen", "kidney_right", "kidney_left", "gallbladder", "esophagus", "liver", "stomach", "aorta"),
            *("inferior_vena_cava", "pancreas", "adrenal_gland_right", "adrenal_gland_left", "duodenum", "bladder"),
            "prostate_uterus",
        ),
        start=1,
    )
}
_FIRST_MR = 500


def _label_map(image: Path) -> Path:
    """Return ``labelsTr/amos_0001.nii.gz`` of ``imagesTr/amos_0001.nii.gz``."""
    return image.parent.with_name(image.parent.name.replace("images", "labels")) / image.name


ADAPTER = LabelledArchive(
    "amos",
    ARCHIVE,
    LABELS,
    re.compile(r"images(?:Tr|Va)/(amos_\d{4})\.nii(?:\.gz)?$"),
    _label_map,
    "imagesTr/amos_0001.nii.gz with labelsTr/amos_0001.nii.gz",
    lambda patient: int(patient[-4:]) >= _FIRST_MR,
    f"MRs, numbered from {_FIRST_MR} on",
).adapter
