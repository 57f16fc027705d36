"""A model as one zip file, and such a file opened without trusting it.

Of a zip only files with a model's names are taken, whatever else it holds, and nothing in them is executed.
"""

import errno
import json
import re
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from shutil import copyfileobj

from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import read_json, sha256_of

DIGESTS = "digests.json"
"""In a zip: SHA-256 of each other file."""

_PARTS = re.compile(r"(fold_\d+/)?(plans\.json|dataset\.json|quality\.json|weights_(last|best)\.safetensors)")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first date that a zip can hold: the same model gives the same bytes
_MOST_GROWTH = 4
"""Times that a zip may grow when it is opened: weights shrink by a tenth, bombs by a thousand."""
_SMALL_BYTES = 16 * 2**20
"""That plans and manifests may take besides."""
_ENCRYPTED = 1
_OF_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, IndexError, RuntimeError, OSError)
"""What zipfile raises; of the last only "invalid argument", where it looks before a file's start."""


@dataclass(frozen=True)
class _Digests:
    sha256: dict[str, str]


def write_archive(folder: Path, out: Path, *, weights: str, force: bool = False) -> Path:
    """Write the model in ``folder`` as a zip, the same bytes for the same model.

    Plans and weights go in; logs, states and pictures of its training stay where they are.

    Args:
        folder: a run folder, or one with a run folder a fold.
        out: ends in ``.zip``.
        weights: "last", or "best" too.
        force: whether a file that stands at ``out`` is replaced.

    Raises:
        BadInput: where the model is a zip already, ``out`` has another suffix or stands there and not ``force``.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder} is a zip already; copy it.")
    if out.suffix != ".zip":
        raise BadInput(f"{out} would be a zip by its contents and not by its name; end its name in .zip.")
    if out.is_dir() or (out.exists() and not force):
        raise BadInput(f"{out} stands there already; replace the file with --force, or give another name.")
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    names = [name for name in names if _PARTS.fullmatch(name) and (weights == "best" or "weights_best" not in name)]
    digests = _Digests({name: sha256_of(folder / name) for name in names})
    with atomic_write(out) as partial, zipfile.ZipFile(partial, "w") as archive:
        archive.writestr(_entry(DIGESTS), json.dumps(asdict(digests), indent=1))
        for name in names:
            with (folder / name).open("rb") as source, archive.open(_entry(name), "w", force_zip64=True) as target:
                copyfileobj(source, target, 2**20)
    return out


@contextmanager
def open_archive(path: Path) -> Iterator[Path]:
    """The folder of a zipped model, for as long as it is open: at the top of the zip, or in a folder there.

    Raises:
        BadInput: where the file is no zip, is cut short, damaged or encrypted, names files outside itself, would grow
            beyond all sense, holds no model, or its files aren't those whose digests it names.
    """
    with tempfile.TemporaryDirectory(prefix="gynbtnet-model-") as folder:
        _unpack(path, Path(folder))
        try:
            _check_digests(Path(folder), path)
            yield Path(folder)
        except BadInput as error:  # says where the file lies for the moment
            raise BadInput(str(error).replace(folder, str(path))) from error


def _unpack(path: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            _extract(archive, path, folder)
    except _OF_DAMAGE as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        raise BadInput(f"{path} {_told(path, error)}; copy the model's zip again, or give its folder.") from error


def _told(path: Path, error: Exception) -> str:
    """Why a file is no whole zip, by how it begins."""
    with path.open("rb") as file:
        start = file.read(512).lstrip()
    if start.startswith(b"PK"):
        return f"is a damaged zip, or one that was cut short ({error})"
    if start.startswith(b"<"):
        return "is a web page and no zip, as a failed download leaves it"
    return "is no zip; a model is a run folder, or a zip of one"


def _extract(archive: zipfile.ZipFile, path: Path, folder: Path) -> None:
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    outside = [e.filename for e in entries if e.filename.startswith(("/", "\\")) or {"..", ""} & {*_steps(e.filename)}]
    if outside:
        raise BadInput(f"{path} names a file outside itself ({outside[0]!r}); don't use it, it was made to do harm.")
    top = _top(entries)
    wanted = {
        name: entry
        for entry in entries
        if (name := entry.filename.removeprefix(top)) == DIGESTS or _PARTS.fullmatch(name)
    }
    if not any(name.endswith(".safetensors") for name in wanted):
        held = ", ".join(sorted(entry.filename for entry in entries)[:3]) or "nothing"
        raise BadInput(
            f"{path} holds no model ({held}); expected plans.json, dataset.json and weights_last.safetensors, as "
            "`gynbtnet export --to zip` writes them."
        )
    if any(entry.flag_bits & _ENCRYPTED for entry in wanted.values()):
        raise BadInput(f"{path} is encrypted; unpack it and give the folder.")
    size = sum(entry.file_size for entry in wanted.values())
    if size > _MOST_GROWTH * path.stat().st_size + _SMALL_BYTES:
        raise BadInput(
            f"{path} would grow from {path.stat().st_size / 1e6:.1f} to {size / 1e6:.0f} MB, as no weights do; give "
            "the model's folder, or its zip as `gynbtnet export --to zip` writes it."
        )
    for name, entry in wanted.items():
        (folder / name).parent.mkdir(exist_ok=True)
        with archive.open(entry) as source, (folder / name).open("wb") as target:
            copyfileobj(source, target, 2**20)


def _steps(name: str) -> Sequence[str]:
    return re.split(r"[/\\:]", name)


def _top(entries: Sequence[zipfile.ZipInfo]) -> str:
    """The folder in a zip in which the model's uppermost plan lies, with a slash; empty where that is its top."""
    plans = [PurePosixPath(entry.filename) for entry in entries if PurePosixPath(entry.filename).name == "plans.json"]
    uppermost = min(plans, key=lambda one: len(one.parts), default=PurePosixPath("plans.json"))
    return "".join(f"{part}/" for part in uppermost.parts[:-1])


def _check_digests(folder: Path, path: Path) -> None:
    """BadInput where the zip says which files it holds, and holds others. One made by hand doesn't say."""
    if not (folder / DIGESTS).is_file():
        return
    named = read_json(_Digests, folder / DIGESTS, "export the model again with `gynbtnet export --to zip`").sha256
    held = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if file.is_file()}
    del held[DIGESTS]
    wrong = sorted(name for name in {*named, *held} if name not in held or sha256_of(held[name]) != named.get(name))
    if wrong:
        raise BadInput(
            f"{wrong[0]} in {path} is not the file that was exported, by its SHA-256, or is missing; export the model "
            "again with `gynbtnet export --to zip`."
        )


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.create_system, entry.external_attr = 3, 0o644 << 16
    return entry
