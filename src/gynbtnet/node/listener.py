"""The door for C-STORE and C-ECHO."""

import logging
from collections.abc import Callable
from socketserver import BaseServer, TCPServer
from threading import Thread
from typing import Any, Literal

from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000TransferSyntaxes,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
    RLELossless,
)
from pynetdicom import AE, evt
from pynetdicom.presentation import AllStoragePresentationContexts
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]
from pynetdicom.transport import ThreadedAssociationServer

from gynbtnet.node.configuration import Listener
from gynbtnet.node.folders import hashed
from gynbtnet.node.inbox import Full, InstanceHeader, Unusable
from gynbtnet.node.tls import tls_context
from gynbtnet.runtime.errors import BadInput

SUCCESS = 0x0000
NOT_AUTHORISED = 0x0124
OUT_OF_RESOURCES = 0xA700
NOT_UNDERSTOOD = 0xC000

TRANSFER_SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    *JPEGTransferSyntaxes,
    *JPEGLSTransferSyntaxes,
    *JPEG2000TransferSyntaxes,
    RLELossless,
)
"""Encodings in which instances are accepted: those that the package reads."""

_SILENT_SECONDS = 60.0  # an association on which nothing happens is ended
_HANDSHAKE_SECONDS = 10.0  # a TLS connection whose certificates aren't exchanged by then is ended

Store = Callable[[bytes, str], tuple[InstanceHeader, Literal["new", "known"]]]
Note = Callable[..., None]


class Door(ThreadedAssociationServer):
    """Server that closes connections from other addresses than those of the callers.

    A TLS handshake runs in the thread of its connection, so that a silent peer doesn't hold up the others.
    """

    def __init__(self, *arguments: Any, addresses: frozenset[str], note: Note, **options: Any) -> None:
        self._addresses, self._note = addresses, note
        super().__init__(*arguments, **options)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Return whether the address is one of a caller."""
        allowed = client_address[0] in self._addresses
        if not allowed:
            self._note("rejected", address=client_address[0], reason="the address is not among the callers")
        return allowed

    def get_request(self) -> tuple[Any, Any]:
        """Accept a connection, without the TLS handshake."""
        return TCPServer.get_request(self)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Start the association of a connection, after the TLS handshake if there is TLS."""
        if self.ssl_context:
            timeout = request.gettimeout()
            request.settimeout(_HANDSHAKE_SECONDS)
            try:
                request = self.ssl_context.wrap_socket(request, server_side=True)
            except OSError:  # the socket is closed
                self._note("rejected", address=client_address[0], reason="no TLS connection with a known certificate")
                return
            request.settimeout(timeout)
        super().process_request_thread(request, client_address)

    def shutdown(self) -> None:
        """End listening, and close the socket."""
        BaseServer.shutdown(self)
        self.server_close()


def open_listener(settings: Listener, store: Store, note: Note) -> Door:
    """Listen for C-ECHO and C-STORE in separate threads.

    The answer to an instance is success only after ``store`` has returned.

    Args:
        settings: address, AE title, callers, certificates.
        store: stores an instance durably; called with a DICOM file and the caller's AE title.
        note: writes an event to the audit log.

    Returns:
        The server; its ``shutdown()`` ends it.

    Raises:
        BadInput: If the address or port can't be used, or a certificate can't.
    """
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)  # its messages contain identifiers
    entity = AE(ae_title=settings.ae_title)
    entity.require_called_aet = True
    entity.require_calling_aet = [caller.ae_title for caller in settings.callers]  # without any, no address is allowed
    entity.maximum_associations = settings.most_associations
    entity.network_timeout = entity.acse_timeout = entity.dimse_timeout = _SILENT_SECONDS
    entity.add_supported_context(Verification)
    for context in AllStoragePresentationContexts:
        entity.add_supported_context(str(context.abstract_syntax), list(TRANSFER_SYNTAXES))
    addresses = {caller.ae_title: set(caller.addresses) for caller in settings.callers}

    def is_allowed(event: Any) -> bool:
        requestor = event.assoc.requestor
        return requestor.address in addresses.get(requestor.ae_title.strip(), set())

    def on_store(event: Any) -> int:
        if not is_allowed(event):
            return NOT_AUTHORISED
        caller = event.assoc.requestor.ae_title.strip()
        try:
            header, kind = store(event.encoded_dataset(), caller)
        except Full:
            note("refused", ae=caller, reason="the disk is nearly full")
            return OUT_OF_RESOURCES
        except Unusable as problem:
            note("refused", ae=caller, reason=str(problem))
            return NOT_UNDERSTOOD
        except Exception as error:  # one instance must not stop the listener
            note("refused", ae=caller, reason=f"an unexpected error, {type(error).__name__}")
            return NOT_UNDERSTOOD
        if kind == "new":
            note("received", ae=caller, series=hashed(header.series_uid), instance=hashed(header.sop_instance_uid))
        return SUCCESS

    def on_echo(event: Any) -> int:
        return SUCCESS if is_allowed(event) else NOT_AUTHORISED

    def on_rejection(event: Any) -> None:
        note("rejected", ae=event.assoc.requestor.ae_title.strip(), reason="the AE title is not accepted")

    try:
        server = entity.make_server(
            (settings.address, settings.port),
            ssl_context=tls_context(settings.tls, server=True) if settings.tls else None,
            evt_handlers=[
                (evt.EVT_C_STORE, on_store),
                (evt.EVT_C_ECHO, on_echo),
                (evt.EVT_REJECTED, on_rejection),
            ],
            server_class=Door,
            addresses=frozenset().union(*addresses.values()),
            note=note,
        )
    except OSError as error:
        raise BadInput(
            f"The node can't listen on {settings.address}, port {settings.port} ({error.strerror or error}); stop the "
            "program that uses it, or choose another port in the configuration."
        ) from error
    Thread(target=server.serve_forever, daemon=True, name="gynbtnet-listener").start()
    assert isinstance(server, Door)
    return server
