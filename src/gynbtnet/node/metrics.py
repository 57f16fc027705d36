"""Metrics of a node in Prometheus' text format, over HTTP on this computer."""

from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from gynbtnet.node.queue import Queue, State
from gynbtnet.runtime.errors import BadInput

_ADDRESS = "127.0.0.1"


def metrics_text(queue: Queue) -> str:
    """Return the metrics: series by state, deliveries by destination and state, duration of a prediction.

    Args:
        queue: queue of the node.
    """
    states = Counter(row.state for row in queue.series())
    deliveries = Counter((delivery.destination, delivery.state) for delivery in queue.deliveries())
    lines = ["# TYPE gynbtnet_series gauge"]
    lines += [f'gynbtnet_series{{state="{state}"}} {states[state]}' for state in State]
    lines += ["# TYPE gynbtnet_deliveries gauge"]
    lines += [
        f'gynbtnet_deliveries{{destination="{_escaped(destination)}",state="{state}"}} {count}'
        for (destination, state), count in sorted(deliveries.items())
    ]
    seconds = queue.expected_seconds()
    if seconds is not None:
        lines += ["# TYPE gynbtnet_prediction_seconds gauge", f"gynbtnet_prediction_seconds {seconds:.3f}"]
    return "\n".join(lines) + "\n"


def _escaped(value: str) -> str:
    """Return the value of a label as the format wants it."""
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def serve_metrics(queue: Queue, port: int) -> ThreadingHTTPServer:
    """Serve the metrics in a thread, at ``/metrics``.

    Args:
        queue: queue of the node.
        port: TCP port on 127.0.0.1.

    Returns:
        The server; its ``shutdown()`` ends it.

    Raises:
        BadInput: If the port can't be used.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/metrics"
            content = metrics_text(queue).encode() if found else b""
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:
            """Print nothing."""

    try:
        server = ThreadingHTTPServer((_ADDRESS, port), Handler)
    except OSError as error:
        raise BadInput(
            f"The metrics can't be served on {_ADDRESS}, port {port} ({error.strerror or error}); choose another port."
        ) from error
    Thread(target=server.serve_forever, daemon=True, name="gynbtnet-metrics").start()
    return server
