"""Models as zip files: writing, and reading without trusting the file.

Only files with the names of a model's files are extracted, and nothing in them is executed.
"""

import errno
import hashlib
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
"""Name of the file in a zip that contains the SHA-256 of every other file."""
CARD = "model_card.md"
"""Name of the model card in an exported model."""

_PARTS = re.compile(
    r"model_card\.md|(fold_\d+/)?"
    r"((plans|dataset|quality|training_data|training_scans|learned_from|prediction_settings)\.json|"
    r"weights_(last|best)\.safetensors)"
)
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first date that a zip can store: the same model gives the same bytes
_MOST_GROWTH = 4
"""Largest ratio of extracted size to zip size: weights shrink by a tenth, a zip bomb by a factor of a thousand."""
_SMALL_BYTES = 16 * 2**20
"""Additional size that plans and manifests may take."""
_ENCRYPTED = 1
_OF_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, IndexError, RuntimeError, OSError)
"""Errors that zipfile raises for a damaged file; OSError only as "invalid argument"."""


@dataclass(frozen=True)
class _Digests:
    sha256: dict[str, str]


def write_archive(folder: Path, out: Path, *, weights: str, force: bool = False, card: str | None = None) -> Path:
    """Write a model as a zip file; the same model gives the same bytes.

    The zip contains plans, weights and the card, but no logs, training states or pictures.

    Args:
        folder: run folder, or folder with one run folder per fold.
        out: path that ends in ``.zip``.
        weights: "last": only the weights of the end of the training; "best": also the best ones.
        force: replace an existing file.
        card: model card; None: the one in the folder, if there is one.

    Returns:
        The path of the zip file.

    Raises:
        BadInput: If the model is a zip file already, ``out`` has another suffix, or ``out`` exists and ``force`` is not
            set.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder} is a zip file already; copy it.")
    if out.suffix != ".zip":
        raise BadInput(f"{out} does not end in .zip; give a name that does.")
    if out.is_dir() or (out.exists() and not force):
        raise BadInput(f"{out} exists already; replace it with --force, or give another name.")
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    names = [name for name in names if _PARTS.fullmatch(name) and (weights == "best" or "weights_best" not in name)]
    if not any(name.endswith(".safetensors") for name in names):
        raise BadInput(f"{folder} holds no weights of GynBTNet; a folder of nnU-Net is copied as it is.")
    digests = {name: sha256_of(folder / name) for name in names}
    if card is not None:
        names = [name for name in names if name != CARD]
        digests[CARD] = hashlib.sha256(card.encode()).hexdigest()
    with atomic_write(out) as partial, zipfile.ZipFile(partial, "w") as archive:
        archive.writestr(_entry(DIGESTS), json.dumps(asdict(_Digests(digests)), indent=1))
        if card is not None:
            archive.writestr(_entry(CARD), card)
        for name in names:
            with (folder / name).open("rb") as source, archive.open(_entry(name), "w", force_zip64=True) as target:
                copyfileobj(source, target, 2**20)
    return out


@contextmanager
def open_archive(path: Path) -> Iterator[Path]:
    """Extract a zipped model to a temporary folder, which is deleted at the end of the context.

    Args:
        path: zip file with a model at its top level, or in a folder there.

    Yields:
        The temporary folder.

    Raises:
        BadInput: If the file is not a zip file, is truncated, damaged or encrypted, or contains no model. Also if it
            contains paths outside itself, would grow too much, or its files don't match their digests.
    """
    with tempfile.TemporaryDirectory(prefix="gynbtnet-model-") as folder:
        _unpack(path, Path(folder))
        try:
            _check_digests(Path(folder), path)
            yield Path(folder)
        except BadInput as error:  # its message contains the path of the temporary folder
            raise BadInput(str(error).replace(folder, str(path))) from error


def _unpack(path: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            _extract(archive, path, folder)
    except _OF_DAMAGE as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        raise BadInput(
            f"{path} {_damage(path, error)}; copy the model's zip file again, or give its folder."
        ) from error


def _damage(path: Path, error: Exception) -> str:
    """Return why a file is not a complete zip file, from its first bytes."""
    with path.open("rb") as file:
        start = file.read(512).lstrip()
    if start.startswith(b"PK"):
        return f"is a damaged or truncated zip file ({error})"
    if start.startswith(b"<"):
        return "is a web page and not a zip file, probably from a failed download"
    return "is not a zip file; a model is a run folder, or a zip file of one"


def _extract(archive: zipfile.ZipFile, path: Path, folder: Path) -> None:
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    outside = [e.filename for e in entries if e.filename.startswith(("/", "\\")) or {"..", ""} & {*_parts(e.filename)}]
    if outside:
        raise BadInput(f"{path} contains a path outside itself ({outside[0]!r}), a sign of an attack; don't use it.")
    top = _top(entries)
    parts = {
        name: entry
        for entry in entries
        if (name := entry.filename.removeprefix(top)) == DIGESTS or _PARTS.fullmatch(name)
    }
    if not any(name.endswith(".safetensors") for name in parts):
        if any(entry.filename.endswith(".pth") for entry in entries):
            raise BadInput(f"{path} contains a model of nnU-Net; extract it and give the folder that has plans.json.")
        content = ", ".join(sorted(entry.filename for entry in entries)[:3]) or "nothing"
        raise BadInput(
            f"{path} contains no model ({content}); expected plans.json, dataset.json and weights_last.safetensors, as "
            "`gynbtnet export --to zip` writes them."
        )
    if any(entry.flag_bits & _ENCRYPTED for entry in parts.values()):
        raise BadInput(f"{path} is encrypted; extract it and give the folder.")
    size = sum(entry.file_size for entry in parts.values())
    if size > _MOST_GROWTH * path.stat().st_size + _SMALL_BYTES:
        raise BadInput(
            f"{path} would grow from {path.stat().st_size / 1e6:.1f} to {size / 1e6:.0f} MB, more than any model; give "
            "the model's folder, or its zip file from `gynbtnet export --to zip`."
        )
    for name, entry in parts.items():
        (folder / name).parent.mkdir(exist_ok=True)
        with archive.open(entry) as source, (folder / name).open("wb") as target:
            copyfileobj(source, target, 2**20)


def _parts(name: str) -> Sequence[str]:
    return re.split(r"[/\\:]", name)


def _top(entries: Sequence[zipfile.ZipInfo]) -> str:
    """Return the folder of the uppermost plan in a zip, with a slash; empty for the top level."""
    plans = [PurePosixPath(entry.filename) for entry in entries if PurePosixPath(entry.filename).name == "plans.json"]
    uppermost = min(plans, key=lambda path: len(path.parts), default=PurePosixPath("plans.json"))
    model = uppermost.parent
    folds = {path.parent for path in plans if re.fullmatch(r"fold_\d+", path.parent.name)}
    if len(folds) > 1 and model in folds:  # a cross-validation without a common plan
        model = model.parent
    return "".join(f"{part}/" for part in model.parts)


def _check_digests(folder: Path, path: Path) -> None:
    """Raise BadInput if the files don't match the digests in the zip; a zip made by hand may have no digests."""
    if not (folder / DIGESTS).is_file():
        return
    digests = read_json(_Digests, folder / DIGESTS, "export the model again with `gynbtnet export --to zip`").sha256
    files = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if file.is_file()}
    del files[DIGESTS]
    wrong = sorted(
        name for name in {*digests, *files} if name not in files or sha256_of(files[name]) != digests.get(name)
    )
    if wrong:
        raise BadInput(
            f"{wrong[0]} in {path} is missing, or its SHA-256 differs from that of the export; export the model again "
            "with `gynbtnet export --to zip`."
        )


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.create_system, entry.external_attr = 3, 0o644 << 16
    return entry
