"""Services that every package uses: errors, settings, progress, processes, atomic files, limits of parsing."""

from typing import TYPE_CHECKING

from gynbtnet.runtime.public_names import lazy_names

if TYPE_CHECKING:
    from gynbtnet.runtime.atomic_files import atomic_write
    from gynbtnet.runtime.available_memory import available_bytes
    from gynbtnet.runtime.errors import BadInput, Diverged, Paused, ScansFailed
    from gynbtnet.runtime.json_files import read_json, sha256_of, write_json
    from gynbtnet.runtime.lock_file import file_lock
    from gynbtnet.runtime.measured_choice import MeasuredChoice
    from gynbtnet.runtime.optional_dependencies import require
    from gynbtnet.runtime.parallel import map_scans, pipeline_scans, use_cluster
    from gynbtnet.runtime.progress import console, progress_bar, track, without_progress
    from gynbtnet.runtime.settings import Settings

__all__ = [
    "BadInput",
    "Diverged",
    "MeasuredChoice",
    "Paused",
    "ScansFailed",
    "Settings",
    "atomic_write",
    "available_bytes",
    "console",
    "file_lock",
    "map_scans",
    "pipeline_scans",
    "progress_bar",
    "read_json",
    "require",
    "sha256_of",
    "track",
    "use_cluster",
    "without_progress",
    "write_json",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "atomic_files": ["atomic_write"],
        "available_memory": ["available_bytes"],
        "errors": ["BadInput", "Diverged", "Paused", "ScansFailed"],
        "json_files": ["read_json", "sha256_of", "write_json"],
        "lock_file": ["file_lock"],
        "measured_choice": ["MeasuredChoice"],
        "optional_dependencies": ["require"],
        "parallel": ["map_scans", "pipeline_scans", "use_cluster"],
        "progress": ["console", "progress_bar", "track", "without_progress"],
        "settings": ["Settings"],
    },
)
