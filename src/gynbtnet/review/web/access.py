"""Access to the page: only this machine's browser, and only with the link that was printed.

The link holds a random token that works once and is exchanged for a cookie. Everything else needs the cookie. The Host
header must be this server's own, so that another site's name can't be pointed at it (DNS rebinding). Writing needs
this server's own Origin. The content-security policy lets the page load nothing from elsewhere. NiiVue keeps two small
pictures in its code, for which images may also be ``data:``.
"""

import hmac
import secrets
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
RECEIVER = "/stow"
"""Path of the door for DICOMweb STOW-RS."""
_OPEN = "/open"


class Access:
    """ASGI application that lets only its own page through to another one.

    Args:
        app: the application.
        port: port of the server on 127.0.0.1.
        announce: called with a new link whenever the last one was used.
        receiver: application for the paths below :data:`RECEIVER`, which asks for another token instead of the
            cookie.
        home: path that the link opens.
    """

    def __init__(
        self,
        app: ASGIApp,
        port: int,
        announce: Callable[[str], None],
        *,
        home: str = "/",
        receiver: ASGIApp | None = None,
    ) -> None:
        self._app = app
        self._receiver = receiver
        self._home = home
        self._hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        self._port = port
        self._announce = announce
        self._token = secrets.token_urlsafe(32)
        self._secret = secrets.token_urlsafe(32)
        self._cookie = f"gynbtnet-review-{port}"

    @property
    def link(self) -> str:
        """Link that opens the page once."""
        return f"http://127.0.0.1:{self._port}{_OPEN}?token={self._token}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._answer_to(scope)(scope, receive, send_with_headers)

    def _answer_to(self, scope: Scope) -> ASGIApp:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if host not in self._hosts:
            return Response(status_code=403)
        if self._receiver is not None and scope["path"].startswith(f"{RECEIVER}/"):
            return self._receiver
        if scope["path"] == _OPEN and scope["method"] == "GET":
            given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
            if hmac.compare_digest(given.encode(), self._token.encode()):
                return self._let_in()
            return Response(status_code=403)
        if not self._has_cookie(headers.get("cookie", "")):
            return Response(status_code=403)
        if scope["method"] not in ("GET", "HEAD") and headers.get("origin") != f"http://{host}":
            return Response(status_code=403)
        return self._app

    def _let_in(self) -> Response:
        """Exchange the token for a cookie, and make a new token."""
        self._token = secrets.token_urlsafe(32)
        self._announce(self.link)
        response = RedirectResponse(self._home, status_code=303)
        response.set_cookie(self._cookie, self._secret, httponly=True, samesite="strict")
        return response

    def _has_cookie(self, header: str) -> bool:
        try:
            morsel = SimpleCookie(header).get(self._cookie)
        except CookieError:
            return False
        return morsel is not None and hmac.compare_digest(morsel.value.encode(), self._secret.encode())
