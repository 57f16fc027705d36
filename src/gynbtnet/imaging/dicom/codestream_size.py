"""Image size in the header of a compressed frame.

Decoders allocate the size that the frame declares, and a damaged frame may declare more than the memory holds. So the
size is checked before the frame is decoded.
"""

from pydicom.uid import UID, JPEG2000TransferSyntaxes

_START_OF_CODESTREAM = b"\xff\x4f\xff\x51"
"""JPEG 2000: the marker SOC, always followed by SIZ (ISO/IEC 15444-1, A.5.1)."""

_NO_FRAME_HEADERS = (0xC4, 0xC8, 0xCC)
_STANDALONE = (0x01, *range(0xD0, 0xD9))


def codestream_size(frame: bytes, syntax: UID) -> tuple[int, int]:
    """Return the rows and columns that a JPEG, JPEG-LS or JPEG 2000 frame declares.

    Args:
        frame: the compressed bytes.
        syntax: transfer syntax.

    Returns:
        (rows, columns) of the frame, or of a JPEG 2000 tile if that is larger.

    Raises:
        ValueError: If the frame has no header with a size.
    """
    return _jpeg_2000_size(frame) if syntax in JPEG2000TransferSyntaxes else _jpeg_size(frame)


def _jpeg_2000_size(frame: bytes) -> tuple[int, int]:
    start = frame.find(_START_OF_CODESTREAM)  # a JP2 file has boxes before it
    if start < 0 or len(frame) < start + 40:
        raise ValueError("no JPEG 2000 codestream")
    right, bottom, left, top, tile_width, tile_height = (
        int.from_bytes(frame[at : at + 4], "big") for at in range(start + 8, start + 32, 4)
    )
    return max(bottom - top, min(tile_height, bottom)), max(right - left, min(tile_width, right))


def _jpeg_size(frame: bytes) -> tuple[int, int]:
    """Return the size in the frame header SOFn (ISO/IEC 10918-1, B.2.2), or SOF55 of JPEG-LS."""
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
