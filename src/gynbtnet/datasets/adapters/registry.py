"""List of the dataset layouts that can be ingested; a new adapter is added here."""

from collections.abc import Mapping

from gynbtnet.datasets.adapters import (
    ct_colonography,
    decathlon,
    dicom_rt_export,
    flare22,
    hnscc,
    nnunet_raw,
    ribfrac,
    scan_folders,
    tcia_covid,
    totalsegmentator,
)
from gynbtnet.datasets.adapters.adapter import Adapter
from gynbtnet.datasets.adapters.pelvis import amos, btcv_cervix, c3ro, pediatric_ct_seg, word
from gynbtnet.runtime.errors import BadInput

ADAPTERS: Mapping[str, Adapter] = {
    adapter.name: adapter
    for adapter in (
        dicom_rt_export.ADAPTER,
        scan_folders.ADAPTER,
        totalsegmentator.ADAPTER,
        flare22.ADAPTER,
        hnscc.ADAPTER,
        ribfrac.ADAPTER,
        ct_colonography.ADAPTER,
        tcia_covid.ADAPTER,
        nnunet_raw.ADAPTER,
        decathlon.ADAPTER,
        btcv_cervix.ADAPTER,
        amos.ADAPTER,
        word.ADAPTER,
        pediatric_ct_seg.ADAPTER,
        c3ro.ADAPTER,
    )
}
"""Adapters by the name of their layout."""


def find_adapter(layout: str) -> Adapter:
    """Return the adapter of a layout.

    Raises:
        BadInput: If there is no such layout.
    """
    if layout not in ADAPTERS:
        raise BadInput(f"There is no layout {layout}; expected one of {', '.join(ADAPTERS)}.")
    return ADAPTERS[layout]
