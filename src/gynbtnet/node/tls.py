"""TLS contexts in which both sides of a connection identify themselves by certificates."""

import ssl

from gynbtnet.node.configuration import TLS
from gynbtnet.runtime.errors import BadInput


def tls_context(settings: TLS, *, server: bool) -> ssl.SSLContext:
    """Return a context that presents our certificate and demands one of the peer.

    Args:
        settings: certificates.
        server: for the side that listens; otherwise for the side that calls, which also checks the peer's name.

    Raises:
        BadInput: If a certificate or the key can't be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.certificate, settings.key)
        context.load_verify_locations(settings.authority)
    except (ssl.SSLError, OSError) as error:
        raise BadInput(
            f"The certificate {settings.certificate}, its key {settings.key} or the authority {settings.authority} "
            f"can't be used ({error}); expected PEM files that belong together."
        ) from error
    context.verify_mode = ssl.CERT_REQUIRED
    return context
