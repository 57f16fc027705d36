"""Server of the page: the worklist, a case's arrays, and every action of the reviewer."""

import json
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any

import uvicorn
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from gynbtnet.review.open_reviews import OpenReview, OpenReviews
from gynbtnet.review.page_data import (
    PackedMask,
    describe_case,
    describe_dose,
    describe_patches,
    describe_state,
    describe_worklist,
    display_dose,
    display_image,
    reference_mask,
)
from gynbtnet.review.patches import Patch
from gynbtnet.review.reviewed_files import write_review
from gynbtnet.review.session import Refused, Tool
from gynbtnet.review.web.access import RECEIVER, Access
from gynbtnet.review.web.served_report import make_report_app
from gynbtnet.runtime.errors import BadInput, traceback_without_message

PAGE = Path(__file__).parents[1] / "page"
"""Folder of the page's files."""
NIIVUE = PAGE / "npm" / "niivue.js"
"""The viewer NiiVue; absent if npm was not there when the package was built."""
REPORT_PATH = "/report"
"""Path of the report of an evaluation."""
MOST_BYTES = 64 * 2**20
"""Largest body of a request."""
_LOG = logging.getLogger(__name__)

Answer = dict[str, Any]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    tab: str


class _Structure(_Body):
    structure: str


class _PatchBody(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    axis: int
    index: int
    row: int
    column: int
    height: int
    width: int
    bits: str


class _EditBody(_Structure):
    revision: int
    tool: Tool
    patches: list[_PatchBody]


class _InterpolateBody(_Structure):
    revision: int
    axis: int
    index: int


class _StepBody(_Body):
    revision: int


class _ViewBody(_Structure):
    slices: list[int]


class _AcceptBody(_Structure):
    accepted: bool
    sure: bool


class _ReadOnly(Exception):  # noqa: N818 - a plain name
    """Raised if a tab that may only read wants to write, or knows an older state."""


def make_app(reviews: OpenReviews) -> Starlette:
    """Return the application, without protection; see :class:`gynbtnet.review.web.access.Access`.

    Args:
        reviews: the worklist and its open cases.
    """

    def of_case(answer: Callable[[int, OpenReview, Request], Any]) -> Callable[[Request], Any]:
        """Return an endpoint whose function gets the case."""

        @wraps(answer)
        async def endpoint(request: Request) -> Response:
            number = int(request.path_params["number"])

            def work() -> Any:
                return answer(number, reviews.get(number), request)

            return await _respond(work)

        return endpoint

    def with_body(kind: type[_Body], act: Callable[[int, OpenReview, Any], Answer]) -> Callable[[Request], Any]:
        """Return an endpoint for an action, which only the tab with the lease may do."""

        @wraps(act)
        async def endpoint(request: Request) -> Response:
            number = int(request.path_params["number"])
            if int(request.headers.get("content-length") or MOST_BYTES + 1) > MOST_BYTES:
                return JSONResponse({"error": "The request is too large."}, 413)
            content = await request.body()

            def work() -> Answer:
                body = kind.model_validate_json(content)
                review = reviews.get(number)
                with review.lock:
                    if review.closed:
                        raise _ReadOnly("The case was closed meanwhile; it is loaded again.")
                    if not review.lease.claim(body.tab):
                        raise _ReadOnly("This case is open for editing in another tab; here it can only be read.")
                    known = getattr(body, "revision", review.session.revision)
                    if known != review.session.revision:
                        raise _ReadOnly("The case was changed in another tab; it is loaded again.")
                    return {**act(number, review, body), "state": describe_state(review)}

            return await _respond(work)

        return endpoint

    async def worklist(_: Request) -> Response:
        return await _respond(lambda: {**describe_worklist(reviews), "niivue": NIIVUE.is_file()})

    def image(_: int, review: OpenReview, __: Request) -> Response:
        return _binary(display_image(review.case).data.cast("B"))

    def dose(_: int, review: OpenReview, __: Request) -> Response:
        return _binary(display_dose(review.case).data.cast("B"))

    def mask(_: int, review: OpenReview, request: Request) -> Response:
        structure = _structure_of(review, request)
        which = request.query_params.get("which", "current")
        with review.lock:
            if which == "reference":
                voxels = reference_mask(review, structure)
            else:
                voxels = review.session.displayed(structure, automatic=which == "automatic")
            packed = PackedMask.of(voxels) if voxels is not None else PackedMask((0,) * 6, b"")
        return _binary(packed.bits, {"X-Box": ",".join(map(str, packed.box))})

    def metrics(_: int, review: OpenReview, request: Request) -> Answer:
        return describe_dose(review, _structure_of(review, request))

    def state(_: int, review: OpenReview, __: Request) -> Answer:
        with review.lock:
            return describe_state(review)

    def whole_case(_: int, review: OpenReview, __: Request) -> Answer:
        with review.lock:
            return describe_case(review)

    async def lease(request: Request) -> Response:
        number, body = int(request.path_params["number"]), await request.body()

        def work() -> Answer:
            tab = _Body.model_validate_json(body).tab
            review = reviews.get(number)
            with review.lock:
                return {"writer": review.lease.claim(tab), "revision": review.session.revision}

        return await _respond(work)

    async def release(request: Request) -> Response:
        number, body = int(request.path_params["number"]), await request.body()

        def work() -> Answer:
            reviews.release(number, _Body.model_validate_json(body).tab)
            return {}

        return await _respond(work)

    def edit(_: int, review: OpenReview, body: _EditBody) -> Answer:
        patches = [Patch(**patch.model_dump()) for patch in body.patches]
        review.session.edit(body.structure, body.tool, patches)
        return {}

    def interpolate(_: int, review: OpenReview, body: _InterpolateBody) -> Answer:
        done = review.session.interpolate(body.structure, body.axis, body.index)
        return describe_patches(done.structure, done.patches)

    def undo(_: int, review: OpenReview, __: _StepBody) -> Answer:
        done = review.session.undo()
        return describe_patches(done.structure, done.patches)

    def redo(_: int, review: OpenReview, __: _StepBody) -> Answer:
        done = review.session.redo()
        return describe_patches(done.structure, done.patches)

    def view(_: int, review: OpenReview, body: _ViewBody) -> Answer:
        review.session.view(body.slices, body.structure)
        return {}

    def accept(_: int, review: OpenReview, body: _AcceptBody) -> Answer:
        share = review.session.accept(body.structure, accepted=body.accepted, sure=body.sure)
        return {"ask": share}

    def write(number: int, review: OpenReview, _: _Body) -> Answer:
        options = reviews.options
        seg = options.seg and review.case.series is not None
        folder = write_review(review.case, review.session, seg=seg, reviewer=options.reviewer)
        reviews.mark_written(number)
        content = json.loads((folder / "review.json").read_bytes())
        return {"folder": str(folder), "review": content}

    report_page = reviews.options.report
    case = "/api/case/{number:int}"
    actions: list[tuple[str, type[_Body], Callable[[int, OpenReview, Any], Answer]]] = [
        ("edit", _EditBody, edit),
        ("interpolate", _InterpolateBody, interpolate),
        ("undo", _StepBody, undo),
        ("redo", _StepBody, redo),
        ("view", _ViewBody, view),
        ("accept", _AcceptBody, accept),
        ("write", _Body, write),
    ]
    return Starlette(
        routes=[
            Route("/api/worklist", worklist),
            Route(case, of_case(whole_case)),
            Route(f"{case}/image", of_case(image)),
            Route(f"{case}/dose", of_case(dose)),
            Route(f"{case}/state", of_case(state)),
            Route(f"{case}/mask/{{structure:int}}", of_case(mask)),
            Route(f"{case}/metrics/{{structure:int}}", of_case(metrics)),
            Route(f"{case}/lease", lease, methods=["POST"]),
            Route(f"{case}/release", release, methods=["POST"]),
            *(Route(f"{case}/{name}", with_body(kind, act), methods=["POST"]) for name, kind, act in actions),
            *([Mount(REPORT_PATH, make_report_app(report_page, reviews.items))] if report_page else []),
            Mount("/", StaticFiles(directory=PAGE, html=True)),
        ]
    )


class ReviewServer:
    """The server on a free port of 127.0.0.1.

    Args:
        reviews: the worklist.
        announce: called with a new link whenever the last one was used.
        port: port to use; 0 takes a free one.
        receiver: application for DICOMweb STOW-RS, served below :data:`~gynbtnet.review.web.access.RECEIVER`.

    Raises:
        BadInput: If the port is in use.
    """

    def __init__(
        self, reviews: OpenReviews, announce: Callable[[str], None], port: int = 0, receiver: ASGIApp | None = None
    ) -> None:
        self._socket = socket.socket()
        try:
            self._socket.bind(("127.0.0.1", port))
            self._socket.listen()  # so that a browser waits from the moment that the link is known
        except OSError as error:
            self._socket.close()
            raise BadInput(
                f"The port {port} of this machine is in use; leave --port out, or give another one."
            ) from error
        self._reviews = reviews
        self.access = Access(
            make_app(reviews),
            self._socket.getsockname()[1],
            announce,
            home=f"{REPORT_PATH}/" if reviews.options.report else "/",
            receiver=Starlette(routes=[Mount(RECEIVER, receiver)]) if receiver else None,
        )
        config = uvicorn.Config(
            self.access,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=3,
        )
        self._server = uvicorn.Server(config)

    @property
    def link(self) -> str:
        """Link that opens the page once."""
        return self.access.link

    @property
    def receiver_address(self) -> str:
        """Address to which instances are sent by STOW-RS."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}{RECEIVER}/studies"

    def run(self) -> None:
        """Serve until Ctrl-C or :meth:`stop`, then close all cases."""
        try:
            with suppress(KeyboardInterrupt):  # uvicorn has ended by then
                self._server.run(sockets=[self._socket])
        finally:
            self._socket.close()
            self._reviews.close()

    def stop(self) -> None:
        """End :meth:`run` from another thread."""
        self._server.should_exit = True


async def _respond(work: Callable[[], Any]) -> Response:
    """Return what a function returns, or the sentence of its error."""
    try:
        result = await run_in_threadpool(work)
    except _ReadOnly as error:
        return JSONResponse({"error": str(error), "read_only": True}, 409)
    except Refused as error:
        return JSONResponse({"error": str(error)}, 409)
    except BadInput as error:
        return JSONResponse({"error": str(error)}, 422)
    except (ValidationError, IndexError):
        return JSONResponse({"error": "The server does not know this request."}, 400)
    except OSError as error:
        _LOG.debug("A request failed: %s", traceback_without_message(error))
        return JSONResponse({"error": f"The disk refused it: {error.strerror or error}. Nothing was changed."}, 507)
    return result if isinstance(result, Response) else JSONResponse(result)


def _binary(content: bytes | memoryview, headers: dict[str, str] | None = None) -> Response:
    return Response(content, media_type="application/octet-stream", headers=headers)


def _structure_of(review: OpenReview, request: Request) -> str:
    return review.session.structures[int(request.path_params["structure"])]
