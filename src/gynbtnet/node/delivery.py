"""Sending of results to their destinations by C-STORE."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import pydicom
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE

from gynbtnet.node.configuration import Destination
from gynbtnet.node.tls import tls_context
from gynbtnet.runtime.errors import BadInput

_TIMEOUT = 30.0  # seconds for connecting, and for an answer
_WARNINGS = (0xB000, 0xB006, 0xB007)  # stored, with coerced or discarded elements


class NotSent(Exception):  # noqa: N818 - it is an outcome
    """Raised if a destination has not everything. The message is a sentence without identifiers."""


def send(files: Sequence[Path], destination: Destination, ae_title: str) -> None:
    """Send DICOM files to a destination; what it received before it may receive again, with the same UIDs.

    Args:
        files: files to send.
        destination: the receiver.
        ae_title: our AE title.

    Raises:
        NotSent: If it can't be reached, rejects the association, or doesn't store a file.
    """
    entity = AE(ae_title=ae_title)
    entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = _TIMEOUT
    datasets = [pydicom.dcmread(path) for path in files]
    for sop_class in dict.fromkeys(dataset.SOPClassUID for dataset in datasets):
        entity.add_requested_context(sop_class, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
    name = destination.ae_title
    try:
        tls = (tls_context(destination.tls, server=False), destination.address) if destination.tls else None
    except BadInput as problem:
        raise NotSent(str(problem)) from problem
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        association = entity.associate(destination.address, destination.port, ae_title=name, tls_args=tls)
    if not association.is_established:
        reason = "rejects the association" if association.is_rejected else "can't be reached"
        raise NotSent(f"{name} {reason}.")
    try:
        for path, dataset in zip(files, datasets, strict=True):
            try:
                status = association.send_c_store(dataset)
            except ValueError as error:
                raise NotSent(f"{name} doesn't accept {path.name}.") from error
            if "Status" not in status:
                raise NotSent(f"{name} ended the association while {path.name} was sent.")
            if status.Status != 0 and status.Status not in _WARNINGS:
                raise NotSent(f"{name} didn't store {path.name} (status 0x{status.Status:04X}).")
    finally:
        if association.is_established:
            association.release()


def pause(attempts: int, first: float, longest: float) -> float:
    """Return the pause before the next attempt to send, in seconds; it doubles with each failed attempt.

    Args:
        attempts: failed attempts so far, the last one included.
        first: pause after the first one, in seconds.
        longest: longest pause, in seconds.

    Example:
        >>> [pause(attempts, 10, 60) for attempts in (1, 2, 3, 4, 5)]
        [10.0, 20.0, 40.0, 60.0, 60.0]
    """
    return float(min(first * 2 ** min(attempts - 1, 30), longest))
