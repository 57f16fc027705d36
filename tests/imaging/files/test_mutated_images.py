"""Mutated NIfTI, NRRD and MetaImage files: each gives a volume or one sentence, in bounded time and memory."""

import gzip
import re
import struct
import time
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from gynbtnet.imaging.files.volume_files import read_volume
from gynbtnet.runtime import BadInput

FORMS = (".nii", ".nii.gz", ".nrrd", ".nrrd raw", ".mha", ".mha packed")
SECONDS, MEGABYTES = 2, 32
EXTREMES = (
    "0",
    "-1",
    "1",
    "2",
    "17",
    "65536",
    "4294967297",
    "9" * 25,
    "nan",
    "inf",
    "-inf",
    "1e308",
    "1e-308",
    "",
    "x",
)
NUMBERS = tuple(
    struct.pack(form, value)
    for form, values in (
        ("<h", (0, -1, 1, 2, 7, 255, 32767, -32768)),
        (">h", (1, 3, 348, 512)),
        ("<i", (0, -1, 348, 540, 2**31 - 1)),
        ("<f", (0.0, -1.0, 1e-38, 1e38, float("nan"), float("inf"), float("-inf"))),
        ("<d", (0.0, 1e308, float("nan"))),
    )
    for value in values
)


def intact_file(form: str, folder: Path) -> bytes:
    """Return a scan as SimpleITK writes it; for a compressed NIfTI, the decompressed bytes."""
    suffix, *more = form.split()
    values = np.random.default_rng(0).integers(-1000, 1000, (6, 16, 18)).astype(np.int16)
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((0.9, 0.8, 2.5))
    image.SetOrigin((-120.5, 30, 812))
    path = folder / f"whole{suffix}"
    sitk.WriteImage(image, str(path), useCompression=more == ["packed"] or (suffix == ".nrrd" and not more))
    content = path.read_bytes()
    return gzip.decompress(content) if suffix == ".nii.gz" else content


def mutated(content: bytes, form: str, random: np.random.Generator) -> bytes:
    """Return a file with one to four mutations, most of them in its header."""
    for _ in range(int(random.integers(1, 5))):
        header = 352 if form.startswith(".nii") else re.search(rb"\n\n|LOCAL\n|$", content).end() or 1
        if form.startswith(".nii") or random.random() < 0.2:
            content = _other_bytes(content, header, random)
        else:
            content = _other_words(content[:header], random) + content[header:]
    return content


def _other_bytes(content: bytes, header: int, random: np.random.Generator) -> bytes:
    end = len(content) if random.random() < 0.2 else min(header, len(content))
    position = int(random.integers(0, max(end, 1)))
    kind = random.integers(0, 10)
    if kind == 0:
        return content[:position]
    if kind == 1:
        return content[:position] + random.bytes(int(random.integers(1, 9))) + content[position:]
    value = random.bytes(1) if kind < 4 else NUMBERS[random.integers(len(NUMBERS))]
    position -= position % len(value)
    return content[:position] + value + content[position + len(value) :]


def _other_words(header: bytes, random: np.random.Generator) -> bytes:
    text = header.decode("latin-1")
    lines = text.splitlines(keepends=True)
    line = int(random.integers(0, max(len(lines), 1)))
    kind = random.integers(0, 8)
    if kind == 0 and lines:
        del lines[line]
    elif kind == 1 and lines:
        lines.insert(line, lines[int(random.integers(0, len(lines)))])
    elif kind == 2:
        lines.insert(line, random.bytes(12).decode("latin-1") + "\n")
    elif words := list(re.finditer(r"[^\s,():=]+", text)):
        word = words[random.integers(len(words))]
        other = words[random.integers(len(words))].group() if kind == 3 else EXTREMES[random.integers(len(EXTREMES))]
        return (text[: word.start()] + other + text[word.end() :]).encode("latin-1")
    return "".join(lines).encode("latin-1")


def outcome(path: Path) -> str:
    """Return "volume" or "sentence"; fail if reading takes too long or too much memory, or the volume is invalid."""
    tracemalloc.start()
    start = time.monotonic()
    try:
        volume = read_volume(path)
        ended = "volume"
        assert np.isfinite(volume.array).all()
        assert max(n * step for n, step in zip(volume.geometry.shape, volume.geometry.spacing, strict=True)) <= 3000
    except BadInput as problem:
        ended = "sentence"
        assert "\n" not in str(problem)
        assert len(str(problem)) < 1000
    finally:
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert time.monotonic() - start < SECONDS
    assert highest < MEGABYTES * 1e6
    return ended


def survive(form: str, count: int, folder: Path) -> Counter[str]:
    """Read mutated files and count the outcomes."""
    intact = intact_file(form, folder)
    path = folder / f"scan{form.split()[0]}"
    ended: Counter[str] = Counter()
    for seed in range(count):
        content = mutated(intact, form, np.random.default_rng(seed))
        path.write_bytes(gzip.compress(content, 1) if form == ".nii.gz" else content)
        try:
            ended[outcome(path)] += 1
        except Exception as error:
            raise AssertionError(f"{form}, seed {seed}") from error
    return ended


@pytest.mark.parametrize("form", FORMS)
def test_sixty_mutated_files_of_each_form(tmp_path, form):
    ended = survive(form, 60, tmp_path)
    assert ended["volume"] >= 2
    assert ended["sentence"] >= 10


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_two_thousand_mutated_files_of_each_form(tmp_path, form):
    assert set(survive(form, 2000, tmp_path)) == {"volume", "sentence"}


@pytest.mark.parametrize("form", FORMS)
def test_bytes_of_a_compressed_file_may_be_anything(tmp_path, form):
    """Mutations after compression: of the deflated stream itself, its checksum, its end."""
    intact = intact_file(form, tmp_path)
    intact = gzip.compress(intact) if form == ".nii.gz" else intact
    path = tmp_path / f"scan{form.split()[0]}"
    for seed in range(40):
        random = np.random.default_rng(seed)
        position = int(random.integers(0, len(intact)))
        path.write_bytes(intact[:position] + random.bytes(3) + intact[position + int(random.integers(0, 6)) :])
        assert outcome(path) in ("volume", "sentence")
