"""Random damage to DICOM files: flipped bytes, cut files, dropped elements, impossible sizes and values."""

from collections.abc import Callable, Iterator

import numpy as np
import pydicom
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.valuerep import STR_VR

from gynbtnet.imaging.dicom.objects import lenient_pydicom

HEADER = 132  # preamble and DICM: without them a file is passed over
SIZES = (
    "Rows",
    "Columns",
    "NumberOfFrames",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "SamplesPerPixel",
    "PixelRepresentation",
    "PlanarConfiguration",
    "NumberOfContourPoints",
)
ABSURD = {
    "US": (0, 1, 3, 7, 12, 4097, 65535),
    "SS": (-32768, -1, 0, 32767),
    "IS": ("0", "-1", "2147483647", "99999999999999999999", "1e9", ""),
    "DS": ("0", "-1", "1e308", "-1e308", "1e-308", "nan", "inf", "1,5", "", "1\\2\\3\\4\\5\\6\\7"),
    "UI": ("", "1.2.3", "x" * 64, "1.2.840.10008.1.2.5"),
    "CS": ("", "\\", "NO_SUCH_TERM", "CT", "CLOSED_PLANAR"),
}
TEXT = ("", "x" * 70000)
LENGTHS = (0, 1, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)

Random = np.random.Generator


def flipped(content: bytes, random: Random) -> bytes:
    """Return the file with up to thirty changed bytes, anywhere or consecutive."""
    damaged = bytearray(content)
    count = int(random.integers(1, 30))
    first = int(random.integers(HEADER, len(content) - count))
    positions = random.integers(HEADER, len(content), count) if random.random() < 0.5 else range(first, first + count)
    for position in positions:
        damaged[position] ^= int(random.integers(1, 256))
    return bytes(damaged)


def header_flipped(content: bytes, random: Random) -> bytes:
    """Return the file with changed bytes among the first thousand, which contain everything important."""
    return flipped(content[:1500], random) + content[1500:]


def cut(content: bytes, random: Random) -> bytes:
    """Return the file cut short, or without a part from the middle."""
    start, end = sorted(random.integers(HEADER, len(content), 2).tolist())
    return content[:start] if random.random() < 0.5 else content[:start] + content[end:]


def without_an_element(content: bytes, random: Random) -> bytes:
    """Return the file without one element, at any depth."""
    dataset = parsed(content)
    parent, element = chosen(list(elements(dataset)), random)
    del parent[element.tag]
    return saved(dataset)


def with_an_absurd_value(content: bytes, random: Random) -> bytes:
    """Return the file with an impossible size or other value; the pixels stay."""
    dataset = parsed(content)
    found = list(elements(dataset))
    sizes = [one for one in found if one[1].keyword in SIZES]
    _, element = chosen(sizes if sizes and random.random() < 0.5 else found, random)
    if element.VR == "SQ":
        element.value = [] if random.random() < 0.5 else [*element.value, *element.value, Dataset()]
    else:
        choice = ABSURD.get(element.VR, TEXT if element.VR in STR_VR else (None,))
        element.value = choice[int(random.integers(len(choice)))]
    return saved(dataset)


def with_an_absurd_length(content: bytes, random: Random) -> bytes:
    """Return the file with an element, item or fragment of an impossible length."""
    dataset = parsed(content)
    _, element = chosen(list(elements(dataset)), random)
    tag = int(element.tag).to_bytes(4, "little")
    position = content.find(tag[2:] + tag[:2], HEADER)
    length = LENGTHS[int(random.integers(len(LENGTHS)))].to_bytes(4, "little")
    at = position + 4 if random.random() < 0.5 else position + 8  # short and implicit forms, or long explicit ones
    return content[:at] + length + content[at + 4 :]


KINDS: tuple[Callable[[bytes, Random], bytes], ...] = (
    flipped,
    header_flipped,
    cut,
    without_an_element,
    with_an_absurd_value,
    with_an_absurd_length,
)


def damaged(content: bytes, seed: int) -> tuple[str, bytes]:
    """Return the kind of damage and the damaged file; both follow from the seed."""
    random = np.random.default_rng(seed)
    kind = KINDS[seed % len(KINDS)]
    with lenient_pydicom():
        return kind.__name__, kind(content, random)


def parsed(content: bytes) -> Dataset:
    return pydicom.dcmread(DicomBytesIO(content))


def saved(dataset: Dataset) -> bytes:
    stream = DicomBytesIO()
    dataset.save_as(stream)
    return stream.getvalue()


def elements(dataset: Dataset) -> Iterator[tuple[Dataset, DataElement]]:
    """Yield every element with its dataset; from a sequence with many items, only the first and the last."""
    for element in dataset:
        yield dataset, element
        if element.VR == "SQ":
            for item in {id(one): one for one in (*element.value[:1], *element.value[-1:])}.values():
                yield from elements(item)


def chosen(found: list[tuple[Dataset, DataElement]], random: Random) -> tuple[Dataset, DataElement]:
    return found[int(random.integers(len(found)))]
