"""Scans of an ingested cohort as input of predictions."""

from collections.abc import Sequence
from dataclasses import replace

from gynbtnet.datasets.case import Case
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.inference.scans.scan_input import ScanFiles, locate_scan
from gynbtnet.preparation.planning.plan import CT
from gynbtnet.runtime.errors import BadInput

_SCHEMES = frozenset(("nonorm", "zscore", "rescale_to_0_1", "rgb_to_0_1"))
"""Names of channels that select a normalisation in nnU-Net, and state nothing about the image."""
_NO_DICOM = "The DICOM files that this case was ingested from no longer exist, so it gets no RTSTRUCT."


def cohort_scans(cohort: Cohort, channels: Sequence[str]) -> tuple[list[ScanFiles], list[tuple[str, str]]]:
    """Return the scans of a cohort under the ids of their cases, and id and reason of those that can't be read.

    Args:
        cohort: the cohort.
        channels: channels of the model.

    Raises:
        BadInput: If the cohort has other channels than the model.
    """
    warnings = _compare_channels(cohort, channels)
    scans: list[ScanFiles] = []
    failed: list[tuple[str, str]] = []
    for case in cohort.cases:
        try:
            scan = _scan_of(case, channels)
            warned = (*scan.warnings, *warnings)
            scans.append(replace(scan, name=case.id, synthetic=case.synthetic, warnings=warned))
        except BadInput as error:
            failed.append((case.id, str(error)))
    return scans, failed


def _compare_channels(cohort: Cohort, channels: Sequence[str]) -> tuple[str, ...]:
    """Check that a cohort has the channels of a model by their names; return a warning for each doubtful one.

    A channel that is named after its normalisation fits any other. If neither of two names is CT, they may be
    spellings of one kind of image, such as MR and T2. They are doubtful, unless they are only in another order.

    Raises:
        BadInput: If their number, their order or a CT differs.
    """
    own, read = ([name.strip().casefold() for name in names] for names in (cohort.channels, channels))
    differing = [
        number
        for number, names in enumerate(zip(own, read, strict=False))
        if names[0] != names[1] and _SCHEMES.isdisjoint(names)
    ]
    wrong = any(CT in (own[i], read[i]) or own[i] in read or read[i] in own for i in differing)
    if wrong or len(own) != len(read):
        raise BadInput(
            f"The cohort {cohort.folder} has the channels {', '.join(cohort.channels)}, but the model reads "
            f"{', '.join(channels)}; give a cohort with these channels."
        )
    return tuple(
        f"The cohort calls a channel {own_name} that the model calls {name}; check that they are equal."
        for own_name, name in ((cohort.channels[i], channels[i]) for i in differing)
    )


def _scan_of(case: Case, channels: Sequence[str]) -> ScanFiles:
    """Return the DICOM series of a case or, if it has none, its image files."""
    folder, uid = case.source.ct_folder, case.source.series_uid
    if not (folder and uid):
        return ScanFiles(case.image, None, case.images[1:])
    if not folder.is_dir():
        return ScanFiles(case.image, None, case.images[1:], warnings=(_NO_DICOM,))
    return locate_scan(folder, channels, given=case.images[1:], series_uid=uid)
