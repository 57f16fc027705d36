"""A DICOM node: scans arrive by C-STORE, in a folder or by STOW-RS, and contours go back to their destinations.

:func:`load_configuration` reads the settings, and :class:`Node` runs.
"""

from typing import TYPE_CHECKING

from gynbtnet.runtime.public_names import lazy_names

if TYPE_CHECKING:
    from gynbtnet.node.configuration import NodeConfiguration, load_configuration, write_example
    from gynbtnet.node.folders import NodeFolder
    from gynbtnet.node.queue import Queue, Series, State
    from gynbtnet.node.service import Node
    from gynbtnet.node.status import StatusRow, status_rows

__all__ = [
    "Node",
    "NodeConfiguration",
    "NodeFolder",
    "Queue",
    "Series",
    "State",
    "StatusRow",
    "load_configuration",
    "status_rows",
    "write_example",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "configuration": ["NodeConfiguration", "load_configuration", "write_example"],
        "folders": ["NodeFolder"],
        "queue": ["Queue", "Series", "State"],
        "service": ["Node"],
        "status": ["StatusRow", "status_rows"],
    },
)
