"""Several readers of one cohort: one cohort with the contours of each."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.reference_contours import refuse_automatic
from gynbtnet.evaluation.contours.second_reader import with_second_reader
from gynbtnet.evaluation.readers.pair_scores import CONSENSUS, MODEL
from gynbtnet.evaluation.readers.reader_summary import READERS
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.runtime.errors import BadInput


@contextmanager
def reader_cohorts(
    cohort: Cohort,
    readers: Mapping[str, Path],
    names: StructureNames | None = None,
    *,
    allow_automatic: bool = False,
) -> Iterator[dict[str, Cohort]]:
    """Yield the cohort of each reader: the cases that the reader contoured, with these contours.

    Args:
        cohort: the cases, with their own contours.
        readers: folder of each reader by name, in any form of
            :func:`~gynbtnet.evaluation.contours.contour_files.find_contours`. The folder of the cohort means the
            contours that the cohort was ingested with.
        names: meaning of names of ROIs, labels and masks; None: the built-in table.
        allow_automatic: accept predictions that nobody has approved.

    Yields:
        The cohorts by name; the files of their contours are deleted at the end.

    Raises:
        BadInput: If there is only one reader, a name is one of ours, two readers have one folder, or contours of a
            reader can't be used.
    """
    if len(readers) == 1:
        raise BadInput("--reader is given once; expected at least two readers. For a single one use --truth FOLDER.")
    for name in readers:
        if not name or name in (MODEL, READERS) or name.startswith(CONSENSUS):
            raise BadInput(
                f"A reader can't be called {name or 'by an empty name'}; “{MODEL}”, “{READERS}” and names that begin "
                f"with “{CONSENSUS}” are columns of the tables. Give another name."
            )
    _check_folders(readers)
    with ExitStack() as stack:
        cohorts = {}
        for name, folder in readers.items():
            if Path(folder).resolve() == cohort.folder.resolve():
                own = replace(cohort, cases=tuple(case for case in cohort.cases if case.labels))
                if not allow_automatic:
                    refuse_automatic(own, "as a reader's")
                cohorts[name] = own
            else:
                scratch = Path(stack.enter_context(TemporaryDirectory(prefix="gynbtnet-")))
                cohorts[name] = with_second_reader(cohort, folder, scratch, names, allow_automatic=allow_automatic)
        yield cohorts


def _check_folders(readers: Mapping[str, Path]) -> None:
    """Check that no two readers have the same folder, which would agree perfectly."""
    by_folder: dict[Path, str] = {}
    for name, folder in readers.items():
        other = by_folder.setdefault(Path(folder).resolve(), name)
        if other != name:
            raise BadInput(
                f"The readers {other} and {name} have the same folder {folder}; give each reader's own contours."
            )


def parse_readers(arguments: Sequence[str]) -> dict[str, Path]:
    """Parse several NAME=FOLDER arguments.

    Raises:
        BadInput: If an argument is not of this form, or a name occurs twice.
    """
    readers: dict[str, Path] = {}
    for argument in arguments:
        name, separator, folder = (part.strip() for part in argument.partition("="))
        if not (separator and name and folder) or name in readers:
            raise BadInput(
                f"--reader {argument} is not NAME=FOLDER, or gives a name twice; expected such as --reader "
                "anna=contours/anna."
            )
        readers[name] = Path(folder)
    return readers
