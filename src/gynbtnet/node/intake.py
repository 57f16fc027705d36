"""Storing of received instances: on the disk first, then in the queue."""

from dataclasses import dataclass
from typing import Literal

from gynbtnet.node.configuration import NodeConfiguration
from gynbtnet.node.folders import NodeFolder, hashed
from gynbtnet.node.inbox import Inbox, InstanceHeader
from gynbtnet.node.queue import Queue


@dataclass(frozen=True)
class Intake:
    """Inbox and queue of a node. Several processes may store at the same time.

    Attributes:
        inbox: folder of the received instances.
        queue: queue of the node.
    """

    inbox: Inbox
    queue: Queue

    @classmethod
    def of(cls, configuration: NodeConfiguration) -> "Intake":
        """Return the intake of a configured node; its queue is opened.

        Raises:
            BadInput: If the queue can't be opened.
        """
        folder = NodeFolder(configuration.folder)
        return cls(Inbox(folder.inbox, int(configuration.minimum_free_gb * 1e9)), Queue(folder.queue))

    def store(self, content: bytes, caller: str) -> tuple[InstanceHeader, Literal["new", "known"]]:
        """Store a received instance durably, and note it in the queue.

        Args:
            content: a complete DICOM file.
            caller: AE title of the sender, or the name of another door.

        Returns:
            Its header, and whether it is new; an instance that completes an earlier one is new.

        Raises:
            Unusable: If the instance can't be kept.
            Full: If the disk is nearly full.
        """
        header, kind = self.inbox.store(content)
        if kind == "known":
            return header, "known"
        self.queue.arrived(hashed(header.series_uid), caller, 1 if kind == "new" else 0)
        return header, "new"
