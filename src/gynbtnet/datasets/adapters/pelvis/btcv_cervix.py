"""BTCV Cervix: 30 labelled CTs of patients with cervical cancer: bladder, uterus, rectum and small bowel.

The files are ``RawData/Training/img/0507688-Image.nii.gz`` and ``RawData/Training/label/0507688-Mask.nii.gz``. The
scans of the challenge's test (``Testing``) have no contours and are ignored.

Landman et al. 2015, MICCAI Multi-Atlas Labeling Beyond the Cranial Vault, doi 10.7303/syn3193805.
"""

import re
from pathlib import Path

from gynbtnet.datasets.adapters.labelled_archive import LabelledArchive
from gynbtnet.datasets.ingestion.public_archive import Archive

ARCHIVE = Archive("BTCV Cervix", "doi 10.7303/syn3193805", "registration at Synapse, its terms (unverified)")
LABELS = {"bladder": 1, "uterus": 2, "rectum": 3, "small_bowel": 4}


def _label_map(image: Path) -> Path:
    """Return ``…/label/…-Mask.nii.gz`` of ``…/img/…-Image.nii.gz``."""
    return image.parent.parent / "label" / image.name.replace("-Image", "-Mask")


ADAPTER = LabelledArchive(
    "btcv-cervix",
    ARCHIVE,
    LABELS,
    re.compile(r"Training/img/([^/]+)-Image\.nii(?:\.gz)?$"),
    _label_map,
    "Training/img/0507688-Image.nii.gz with Training/label/0507688-Mask.nii.gz",
).adapter
