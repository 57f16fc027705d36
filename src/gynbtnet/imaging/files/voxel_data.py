"""The voxels of an image file as bytes: no more of them are read than its header promises."""

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
_DEFLATE = 1032  # bytes that one compressed byte can stand for at most; zlib.net/zlib_tech.html
_BZIP2 = 50_000  # the same of bzip2, whose blocks of 900,000 bytes shrink to some 40
_BYTES_A_CHARACTER = 4  # of voxels as text: eight bytes take a digit and a space at least
_CHARACTERS = 40  # of one number as text, at most
_DAMAGE = (OSError, EOFError, zlib.error, ValueError)


@dataclass(frozen=True)
class VoxelData:
    """Where the bytes of voxels are.

    Attributes:
        file: the file.
        offset: bytes of the file before them.
        encoding: how they are written. In a "gzip file" the offset counts bytes after decompression.
        skipped: further bytes to leave out, after decompression.
    """

    file: Path
    offset: int
    encoding: Encoding
    skipped: int = 0

    def problem(self, size: int) -> str | None:
        """Return why ``size`` bytes of voxels can't be in the file, as far as its own size shows; None if they can."""
        held = self.file.stat().st_size - (0 if self.encoding == "gzip file" else self.offset)
        if self.encoding == "raw":
            return _difference(held - self.skipped, size)
        most = {"text": held * _BYTES_A_CHARACTER, "hex": held // 2, "bzip2": held * _BZIP2}
        if size > most.get(self.encoding, held * _DEFLATE) + _BLOCK:
            return f"{held} bytes of type “{self.encoding}” can't hold the {size} bytes of its voxels"
        return None

    def read_into(self, array: npt.NDArray[Any]) -> str | None:
        """Fill an array with the voxels; return what is wrong with them, None if nothing is.

        Args:
            array: contiguous, of the type and byte order in which voxels are stored.
        """
        try:
            with self.file.open("rb") as stream:
                if self.encoding == "text":
                    return self._read_numbers(stream, array)
                return self._fill(stream, array.reshape(-1).view(np.uint8))
        except _DAMAGE as error:
            return f"its voxels can't be read ({str(error) or type(error).__name__})"

    def _fill(self, stream: IO[bytes], target: npt.NDArray[np.uint8]) -> str | None:
        skipped = self.skipped + (self.offset if self.encoding == "gzip file" else 0)
        done = -skipped
        for block in self._blocks(stream):
            wanted = block[max(0, -done) :]
            done += len(block)
            if done > len(target):
                return f"it holds more voxels than the {len(target)} bytes that its header promises"
            if wanted:
                target[done - len(wanted) : done] = np.frombuffer(wanted, np.uint8)
        return _difference(done, len(target))

    def _blocks(self, stream: IO[bytes]) -> Iterator[bytes]:
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
        stream.seek(self.offset)
        words = stream.read(_CHARACTERS * array.size + 1).split()
        if len(words) != array.size:
            return f"it holds {len(words)} numbers instead of {array.size}"
        values = np.array(words, dtype=np.float64 if array.dtype.kind == "f" else object)
        if array.dtype.kind == "f":
            array.reshape(-1)[:] = values
        else:
            array.reshape(-1)[:] = [int(word) for word in words]
        return None


def _difference(held: int, size: int) -> str | None:
    if held == size:
        return None
    return f"it holds {max(held, 0)} bytes of voxels, and its header promises {size}"


def _inflated(stream: IO[bytes]) -> Iterator[bytes]:
    """Blocks of a zlib or gzip stream."""
    inflate = zlib.decompressobj(wbits=47)
    while not inflate.eof:
        block = inflate.unconsumed_tail or stream.read(_BLOCK)
        made = inflate.decompress(block, _BLOCK)
        if not block and not made:
            raise EOFError("the compressed bytes end early")
        yield made
