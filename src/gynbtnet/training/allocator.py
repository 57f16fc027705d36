"""Keep freed memory: a fifth faster in CPU training of preset XS on glibc, see docs/benchmarks.md."""

import ctypes
import sys

# Parameter numbers of mallopt(3), from glibc's malloc.h.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> bool:
    """Tell glibc's allocator to keep pages for reuse instead of giving each large tensor's back to the kernel.

    Each step of training frees and allocates the same activations; without this, every page of them is faulted in
    again. The process keeps its peak memory until it ends. Returns whether the allocator took it; False where the
    C library is not glibc. `benchmarks/allocator.py` measures it.
    """
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    settings = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 2**28))
    return all(library.mallopt(parameter, value) == 1 for parameter, value in settings)
