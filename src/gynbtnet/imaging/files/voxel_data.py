"""Stored voxels of an image file; never more bytes are read than its header promises."""

import bz2
import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import numpy.typing as npt

Encoding = Literal["raw", "gzip file", "gzip", "zlib", "bzip2", "text", "hex"]

_BLOCK = 2**20
_DEFLATE = 1032  # largest number of bytes from one compressed byte; zlib.net/zlib_tech.html
_BZIP2 = 50_000  # the same for bzip2, whose blocks of 900,000 bytes shrink to about 40
_BYTES_PER_CHARACTER = 4  # of voxels as text: eight bytes need at least a digit and a space
_CHARACTERS = 40  # largest length of one number as text
_DAMAGE = (OSError, EOFError, zlib.error, ValueError)


@dataclass(frozen=True)
class VoxelData:
    """Location and encoding of the voxels in a file.

    Attributes:
        file: the file.
        offset: number of bytes before the voxels.
        encoding: encoding of the bytes. In a "gzip file" the offset counts bytes after decompression.
        skipped: number of further bytes to skip, after decompression.
    """

    file: Path
    offset: int
    encoding: Encoding
    skipped: int = 0

    def problem(self, size: int) -> str | None:
        """Return why ``size`` bytes of voxels can't be in the file, as far as its own size shows; None if they can."""
        available = self.file.stat().st_size - (0 if self.encoding == "gzip file" else self.offset)
        if self.encoding == "raw":
            return _difference(available - self.skipped, size)
        most = {"text": available * _BYTES_PER_CHARACTER, "hex": available // 2, "bzip2": available * _BZIP2}
        if size > most.get(self.encoding, available * _DEFLATE) + _BLOCK:
            return f"{available} bytes of type “{self.encoding}” can't hold the {size} bytes of its voxels"
        return None

    def read_into(self, array: npt.NDArray[Any]) -> str | None:
        """Fill an array with the voxels and return the problem with them, None if there is none.

        Args:
            array: contiguous array with the type and byte order of the stored voxels.
        """
        try:
            with self.file.open("rb") as stream:
                if self.encoding == "text":
                    return self._read_numbers(stream, array)
                return self._fill(stream, array.reshape(-1).view(np.uint8))
        except _DAMAGE as error:
            return f"its voxels can't be read ({str(error) or type(error).__name__})"

    def _fill(self, stream: IO[bytes], target: npt.NDArray[np.uint8]) -> str | None:
        """Copy decoded bytes into ``target`` and return the problem with them, None if there is none."""
        skipped = self.skipped + (self.offset if self.encoding == "gzip file" else 0)
        done = -skipped
        for block in self._blocks(stream):
            voxels = block[max(0, -done) :]
            done += len(block)
            if done > len(target):
                return f"it has more voxels than the {len(target)} bytes that its header promises"
            if voxels:
                target[done - len(voxels) : done] = np.frombuffer(voxels, np.uint8)
        return _difference(done, len(target))

    def _blocks(self, stream: IO[bytes]) -> Iterator[bytes]:
        """Yield decoded bytes."""
        if self.encoding != "gzip file":
            stream.seek(self.offset)
        if self.encoding == "zlib":
            yield from _inflated(stream)
        elif self.encoding == "hex":
            while text := stream.read(_BLOCK):
                odd = b"".join(text.split())
                more = stream.read(1) if len(odd) % 2 else b""
                while more.isspace():
                    more = stream.read(1)
                yield bytes.fromhex((odd + more).decode("ascii"))
        else:
            opened: Any = stream
            if self.encoding in ("gzip file", "gzip"):
                opened = gzip.GzipFile(fileobj=stream)
            elif self.encoding == "bzip2":
                opened = bz2.BZ2File(stream)
            while block := opened.read(_BLOCK):
                yield block

    def _read_numbers(self, stream: IO[bytes], array: npt.NDArray[Any]) -> str | None:
        """Fill an array with numbers in text form and return the problem with them, None if there is none."""
        stream.seek(self.offset)
        words = stream.read(_CHARACTERS * array.size + 1).split()
        if len(words) != array.size:
            return f"it has {len(words)} numbers instead of {array.size}"
        values = np.array(words, dtype=np.float64 if array.dtype.kind == "f" else object)
        if array.dtype.kind == "f":
            array.reshape(-1)[:] = values
        else:
            array.reshape(-1)[:] = [int(word) for word in words]
        return None


def _difference(available: int, size: int) -> str | None:
    """Return how the available bytes differ from those that the header promises, None if they don't."""
    if available == size:
        return None
    return f"it has {max(available, 0)} bytes of voxels, and its header promises {size}"


def _inflated(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield blocks of a zlib or gzip stream."""
    inflate = zlib.decompressobj(wbits=47)
    while not inflate.eof:
        block = inflate.unconsumed_tail or stream.read(_BLOCK)
        content = inflate.decompress(block, _BLOCK)
        if not block and not content:
            raise EOFError("the compressed bytes end early")
        yield content
