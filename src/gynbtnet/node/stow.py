"""The door for DICOMweb STOW-RS (PS3.18 10.5): instances in the body of an HTTP request.

The node serves it on a separate port, or the server of ``gynbtnet review`` below ``/stow``.
"""

import hmac
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from threading import Thread
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gynbtnet.node.audit import AuditLog
from gynbtnet.node.configuration import NodeConfiguration, Web
from gynbtnet.node.folders import NodeFolder, hashed
from gynbtnet.node.inbox import Full, InstanceHeader, Unusable
from gynbtnet.node.intake import Intake
from gynbtnet.runtime.errors import BadInput

CALLER = "web"

_MOST_BYTES = 2**30  # of a request
_OUT_OF_RESOURCES, _NOT_UNDERSTOOD, _PROCESSING_FAILURE = 0xA700, 0xC000, 0x0110
_BOUNDARY = re.compile(r'boundary="?([^";,\s]+)"?', re.IGNORECASE)
_JSON = "application/dicom+json"


def open_web(
    settings: Web, port: int, store: Callable[[bytes, str], tuple[InstanceHeader, object]], note: Callable[..., None]
) -> Callable[[], None]:
    """Serve STOW-RS at ``/studies`` in a thread.

    Args:
        settings: address and token.
        port: TCP port.
        store: stores an instance durably; called with a DICOM file and :data:`CALLER`.
        note: writes an event to the audit log.

    Returns:
        A function that ends the server.

    Raises:
        BadInput: If the address or port can't be used.
    """
    family = socket.AF_INET6 if ":" in settings.address else socket.AF_INET
    try:  # here, because an error in the thread would end only the thread
        listening = socket.create_server((settings.address, port), family=family)
    except OSError as error:
        raise BadInput(
            f"STOW-RS can't be served on {settings.address}, port {port} ({error.strerror or error}); stop the program "
            "that uses it, or choose another port in the configuration."
        ) from error
    server = uvicorn.Server(
        uvicorn.Config(
            stow_application(settings.token, store, note),
            log_config=None,
            access_log=False,
        )
    )
    thread = Thread(target=server.run, args=([listening],), daemon=True, name="gynbtnet-web")
    thread.start()

    def end() -> None:
        server.should_exit = True
        thread.join()
        listening.close()

    return end


@contextmanager
def receiver_of_review(configuration: NodeConfiguration) -> Iterator[Starlette]:
    """Return STOW-RS for the server of ``gynbtnet review``; it stores for the node, even while that isn't running.

    Args:
        configuration: configuration of the node, with ``web``.

    Raises:
        BadInput: If the queue can't be opened, or ``web`` is absent.
    """
    if configuration.web is None:
        raise BadInput("The node's configuration has no web; STOW-RS needs its token.")
    intake = Intake.of(configuration)
    with closing(intake.queue), closing(AuditLog(NodeFolder(configuration.folder).review_audit)) as audit:
        yield stow_application(configuration.web.token, intake.store, audit.note)


def stow_application(
    token: str, store: Callable[[bytes, str], tuple[InstanceHeader, object]], note: Callable[..., None]
) -> Starlette:
    """Return the web application.

    Args:
        token: bearer token that every request must have.
        store: as for :func:`open_web`.
        note: as for :func:`open_web`.
    """

    async def receive(request: Request) -> Response:
        if not hmac.compare_digest(request.headers.get("authorization", "").encode(), f"Bearer {token}".encode()):
            note("rejected", ae=CALLER, reason="the token is missing or wrong")
            return Response(status_code=401)
        boundary = _BOUNDARY.search(request.headers.get("content-type", ""))
        if boundary is None:
            return Response(status_code=415)
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > _MOST_BYTES:
                return Response(status_code=413)
        stored, failed = [], []
        for instance in split_parts(bytes(body), boundary[1].encode()):
            try:
                header, kind = await run_in_threadpool(store, instance, CALLER)
                stored.append(_reference(header))
                if kind == "new":
                    series, sop_instance = hashed(header.series_uid), hashed(header.sop_instance_uid)
                    note("received", ae=CALLER, series=series, instance=sop_instance)
            except Full:
                note("refused", ae=CALLER, reason="the disk is nearly full")
                failed.append(_failure(_OUT_OF_RESOURCES))
            except Unusable as problem:
                note("refused", ae=CALLER, reason=str(problem))
                failed.append(_failure(_NOT_UNDERSTOOD))
            except Exception as error:  # the other instances must be stored all the same
                note("refused", ae=CALLER, reason=f"an unexpected error, {type(error).__name__}")
                failed.append(_failure(_PROCESSING_FAILURE))
        content: dict[str, Any] = {}
        if stored:
            content["00081199"] = {"vr": "SQ", "Value": stored}  # ReferencedSOPSequence
        if failed:
            content["00081198"] = {"vr": "SQ", "Value": failed}  # FailedSOPSequence
        status = 200 if stored and not failed else 202 if stored else 409
        return JSONResponse(content, status_code=status, media_type=_JSON)

    return Starlette(
        routes=[Route("/studies", receive, methods=["POST"]), Route("/studies/{study}", receive, methods=["POST"])]
    )


def split_parts(body: bytes, boundary: bytes) -> list[bytes]:
    """Return the contents of the parts of a multipart body.

    Args:
        body: the body.
        boundary: text between the parts.

    Example:
        >>> split_parts(b"--x\\r\\nContent-Type: application/dicom\\r\\n\\r\\nDATA\\r\\n--x--", b"x")
        [b'DATA']
    """
    parts = (b"\r\n" + body).split(b"\r\n--" + boundary)[1:]
    contents = []
    for part in parts:
        if part.startswith(b"--"):
            break
        _, blank, content = part.partition(b"\r\n\r\n")
        if blank:
            contents.append(content)
    return contents


def _reference(header: InstanceHeader) -> dict[str, Any]:
    return {
        "00081150": {"vr": "UI", "Value": [header.sop_class_uid]},
        "00081155": {"vr": "UI", "Value": [header.sop_instance_uid]},
    }


def _failure(reason: int) -> dict[str, Any]:
    return {"00081197": {"vr": "US", "Value": [reason]}}
