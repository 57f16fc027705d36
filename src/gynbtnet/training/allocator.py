"""Setting of the C library's allocator that makes CPU training of preset XS a fifth faster; see docs/benchmarks.md."""

import ctypes
import sys

# Parameter numbers of mallopt(3), from glibc's malloc.h.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> bool:
    """Let glibc's allocator keep freed pages for reuse instead of returning those of large tensors to the kernel.

    Each training step frees and allocates the same activations. Without this setting, every page of them causes a page
    fault again. The process keeps its peak memory until it ends. ``benchmarks/allocator.py`` measures the effect.

    Returns:
        True if the allocator accepted the setting; False if the C library is not glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    settings = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 2**28))
    return all(library.mallopt(parameter, value) == 1 for parameter, value in settings)
