"""A node on this computer with a fake prediction, a scan, and a receiver."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from gynbtnet.imaging import CTSeries, Geometry, Volume, write_ct_series
from gynbtnet.node.configuration import NodeConfiguration
from gynbtnet.node.folders import hashed
from gynbtnet.node.service import Node
from gynbtnet.node.worker import Worker

from .fake_prediction import DirectWorker

pytest.importorskip("pynetdicom")
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.transport import AssociationSocket

FAKE = "fake_prediction:predict_cube"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail("nothing happened in time")
        time.sleep(0.05)


@pytest.fixture(autouse=True, scope="session")
def closed_sockets() -> Iterator[None]:
    """Close sockets whose peer has gone; pynetdicom 3.0.4 leaves them to the garbage collector, which warns."""

    def shut_down(connection: AssociationSocket) -> None:
        if connection.socket is not None:
            with suppress(OSError):
                connection.socket.shutdown(socket.SHUT_RDWR)
            connection.socket.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AssociationSocket, "_shutdown_socket", shut_down)
        yield


@pytest.fixture(autouse=True)
def fake_prediction_is_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker is a new process, which inherits sys.path."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


def with_changes(settings: NodeConfiguration, **changes: object) -> NodeConfiguration:
    return NodeConfiguration.model_validate(settings.model_dump() | changes)


def write_scan(folder: Path, seed: int = 1, patient: str = "PATIENT-1", slices: int = 6) -> CTSeries:
    voxels = np.random.default_rng(seed).integers(-100, 100, (slices, 12, 14)).astype(np.int16)
    return write_ct_series(
        Volume(voxels, Geometry(voxels.shape, (3.0, 1.0, 1.0))),
        folder,
        patient_id=patient,
        study_description="test",
        series_description="PLANNING",
        seed=seed,
    )


@pytest.fixture
def scan(tmp_path: Path) -> CTSeries:
    return write_scan(tmp_path / "scan")


@dataclass
class Receiver:
    """A planning system: keeps what it receives, or returns another status."""

    port: int
    status: int = 0
    received: list[Dataset] = field(default_factory=list)

    @property
    def structure_sets(self) -> list[Dataset]:
        return [dataset for dataset in self.received if dataset.Modality == "RTSTRUCT"]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    received = Receiver(free_port())

    def store(event: evt.Event) -> int:
        if received.status == 0:
            received.received.append(event.dataset)
        return received.status

    entity = AE("PLANNING")
    entity.supported_contexts = AllStoragePresentationContexts
    server = entity.start_server(("127.0.0.1", received.port), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
    yield received
    server.shutdown()


@pytest.fixture
def settings(tmp_path: Path, receiver: Receiver) -> NodeConfiguration:
    (tmp_path / "model").mkdir()
    return NodeConfiguration.model_validate(
        {
            "folder": tmp_path / "node",
            "listen": {"port": free_port(), "callers": [{"ae_title": "SCANNER", "addresses": ["127.0.0.1"]}]},
            "models": {"pelvis": {"path": tmp_path / "model"}},
            "destinations": {"planning": {"address": "127.0.0.1", "port": receiver.port, "ae_title": "PLANNING"}},
            "rules": [
                {"series_description": "*scout*", "ignore": True},
                {"model": "pelvis", "destinations": ["planning"]},
            ],
            "quiet_seconds": 0.3,
            "minimum_free_gb": 0,
            "first_pause_seconds": 0.1,
            "longest_pause_seconds": 0.2,
            "poll_seconds": 0.05,
        }
    )


@pytest.fixture
def idle(settings: NodeConfiguration) -> Iterator[Callable[..., Node]]:
    """Return a node that doesn't run, in the folder of the settings; the test calls its steps."""
    with ExitStack() as opened:

        def make(**changes: object) -> Node:
            node = Node(with_changes(settings, quiet_seconds=0, **changes), DirectWorker())
            opened.callback(node.queue.close)
            opened.callback(node.audit.close)
            return node

        yield make


def put(node: Node, scan: CTSeries) -> str:
    """Store a scan in a node, as if it had been received; return its key."""
    for path in scan.files:
        node.store(path.read_bytes(), "SCANNER")
    return hashed(scan.series_uid)


def work(node: Node) -> None:
    """Judge, predict and send all that is there."""
    node.step()
    node.step()
    node.deliver()


@dataclass
class Running:
    """A node in a thread."""

    node: Node
    stop: threading.Event
    thread: threading.Thread

    def states(self) -> list[str]:
        assert self.thread.is_alive(), "the node has ended"
        return [str(row.state) for row in self.node.queue.series()]

    def end(self) -> None:
        self.stop.set()
        self.thread.join(30)


@pytest.fixture
def start() -> Iterator[Callable[..., Running]]:
    """Start a node; with ``process=True`` its worker is a process, as in use."""
    running: list[Running] = []

    def begin(settings: NodeConfiguration, *, process: bool = False) -> Running:
        stop, ready = threading.Event(), threading.Event()
        worker = Worker(FAKE, 60 * settings.job_minutes) if process else DirectWorker()
        node = Node(settings, worker)
        thread = threading.Thread(target=node.run, args=(stop, ready.set))
        thread.start()
        running.append(Running(node, stop, thread))
        assert ready.wait(30)
        return running[-1]

    yield begin
    for one in running:
        one.end()


def store(
    files: list[Path] | tuple[Path, ...], port: int, caller: str = "SCANNER", called: str = "GYNBTNET"
) -> list[int | None]:
    """C-STORE; return the status of each file, or [None] if the association was not accepted."""
    entity = AE(caller)
    for path in files:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        if header.SOPClassUID not in [context.abstract_syntax for context in entity.requested_contexts]:
            entity.add_requested_context(header.SOPClassUID, header.file_meta.TransferSyntaxUID)
    association = entity.associate("127.0.0.1", port, ae_title=called)
    if not association.is_established:
        return [None]
    statuses: list[int | None] = []
    for path in files:
        try:
            statuses.append(association.send_c_store(pydicom.dcmread(path)).get("Status"))
        except RuntimeError:  # the association ended
            return [*statuses, None]
    association.release()
    return statuses
