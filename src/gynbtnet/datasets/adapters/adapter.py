"""Description of a dataset layout: a function that finds its scans, and the options that it takes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.ingestion.found_scans import FoundScans
from gynbtnet.imaging.dicom.slice_repairs import Repairs
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.runtime.errors import BadInput

_OPTION_LABELS = {
    "structures": "--structures",
    "names": "--aliases",
    "repairs": "the --allow-… options",
    "resample_labels": "--resample-labels",
    "channels": "--channels",
    "rtstruct": "--rtstruct",
    "include_cohort": "include_cohort",
}


@dataclass(frozen=True)
class AdapterOptions:
    """Options of an ingestion that depend on the layout; the defaults leave the decision to the adapter.

    Attributes:
        structures: structures to take, in label order.
        names: table of ROI names; None is the built-in table.
        repairs: flaws of CT series to repair instead of refusing them; None repairs nothing.
        resample_labels: resample labels that are not on the grid of their scan, by nearest neighbour.
        channels: names of the channels of a scan.
        rtstruct: rules that select one of several structure sets on one CT, see
            :mod:`gynbtnet.datasets.ingestion.structure_set_choice`.
        include_cohort: cohort whose scans are added to those of the sources; scans that the sources contain are not
            added twice.
    """

    structures: tuple[str, ...] | None = None
    names: StructureNames | None = None
    repairs: Repairs | None = None
    resample_labels: bool = False
    channels: tuple[str, ...] | None = None
    rtstruct: tuple[str, ...] = ()
    include_cohort: Cohort | None = None

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the options that differ from their defaults."""
        return tuple(field.name for field in fields(self) if getattr(self, field.name) != field.default)


@dataclass(frozen=True)
class Adapter:
    """A dataset layout that can be ingested.

    Attributes:
        name: value of ``--layout``.
        title: name of the archive or layout, for people.
        find: function that returns the scans below one or several folders without reading their voxels. It raises
            BadInput if there are none.
        takes: names of the :class:`AdapterOptions` that the layout uses.
        needs: names of those options that must be given.
    """

    name: str
    title: str
    find: Callable[[Sequence[Path], AdapterOptions], FoundScans]
    takes: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()

    def check_options(self, options: AdapterOptions) -> None:
        """Check that the layout uses every given option and has those that it needs.

        Raises:
            BadInput: If an option is given that the layout doesn't use, or a required option is missing.
        """
        for option in options.given:
            if option not in self.takes:
                raise BadInput(
                    f"The layout {self.name} doesn't use {_OPTION_LABELS[option]}; remove it, or choose another "
                    "--layout."
                )
        for option in self.needs:
            if option not in options.given:
                raise BadInput(
                    f"The layout {self.name} needs {_OPTION_LABELS[option]}; list what to take, "
                    "e.g. --structures hr_ctv,bladder."
                )
