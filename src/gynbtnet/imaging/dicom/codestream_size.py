"""What a compressed frame says of its own size.

Decoders allocate what the frame asks for, and a damaged one may ask for more than there is. Its size is read before.
"""

from pydicom.uid import UID, JPEG2000TransferSyntaxes

_START_OF_CODESTREAM = b"\xff\x4f\xff\x51"
"""Of JPEG 2000: the marker SOC, and behind it always SIZ (ISO/IEC 15444-1, A.5.1)."""

_NO_FRAME_HEADERS = (0xC4, 0xC8, 0xCC)
_STANDALONE = (0x01, *range(0xD0, 0xD9))


def codestream_size(frame: bytes, syntax: UID) -> tuple[int, int]:
    """Rows and columns that a JPEG, JPEG-LS or JPEG 2000 frame claims, or one of its tiles where these are larger.

    Raises:
        ValueError: where it has no header that says so.
    """
    return _of_jpeg_2000(frame) if syntax in JPEG2000TransferSyntaxes else _of_jpeg(frame)


def _of_jpeg_2000(frame: bytes) -> tuple[int, int]:
    start = frame.find(_START_OF_CODESTREAM)  # a file of its own has boxes before
    if start < 0 or len(frame) < start + 40:
        raise ValueError("no JPEG 2000 codestream")
    right, bottom, left, top, tile_width, tile_height = (
        int.from_bytes(frame[at : at + 4], "big") for at in range(start + 8, start + 32, 4)
    )
    return max(bottom - top, min(tile_height, bottom)), max(right - left, min(tile_width, right))


def _of_jpeg(frame: bytes) -> tuple[int, int]:
    """By the frame header SOFn (ISO/IEC 10918-1, B.2.2), or SOF55 of JPEG-LS."""
    at = 2
    while at + 9 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker == 0xFF or marker in _STANDALONE:
            at += 1 if marker == 0xFF else 2
        elif marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in _NO_FRAME_HEADERS):
            return int.from_bytes(frame[at + 5 : at + 7], "big"), int.from_bytes(frame[at + 7 : at + 9], "big")
        else:
            at += 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
    raise ValueError("no JPEG frame header")
