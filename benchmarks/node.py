"""Slices received a second next to dcmtk's storescp, and the time from the last slice to the RTSTRUCT next to predict.

    python benchmarks/node.py --slices 500
    python benchmarks/node.py --model RUN --scan FOLDER

Both sides are on this computer and run one after the other. storescp doesn't flush to the disk, the node does.
"""

import argparse
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pydicom
from pynetdicom import AE, AllStoragePresentationContexts, evt

from gynbtnet.imaging import Geometry, Volume, write_ct_series
from gynbtnet.node import Node, NodeConfiguration


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def dcmtk(name: str) -> str:
    """Return a program of dcmtk; pynetdicom has programs of the same names."""
    path = shutil.which(name, path="/usr/bin:/usr/local/bin")
    if path is None:
        raise SystemExit(f"{name} is not installed; on Debian it is in the package dcmtk.")
    return path


def wait_for(port: int) -> None:
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)


def send(files: list[Path], port: int, called: str) -> float:
    """Return the seconds that storescu takes, its start included."""
    began = time.perf_counter()
    arguments = ["-aet", "SCANNER", "-aec", called, "127.0.0.1", str(port)]
    subprocess.run([dcmtk("storescu"), *arguments, *map(str, files)], check=True)
    return time.perf_counter() - began


def settings(folder: Path, model: Path, port: int, receiver: int, quiet: float) -> NodeConfiguration:
    return NodeConfiguration.model_validate(
        {
            "folder": folder / "node",
            "listen": {"port": port, "callers": [{"ae_title": "SCANNER", "addresses": ["127.0.0.1"]}]},
            "models": {"model": {"path": model}},
            "destinations": {"planning": {"address": "127.0.0.1", "port": receiver, "ae_title": "PLANNING"}},
            "rules": [{"model": "model", "destinations": ["planning"]}],
            "quiet_seconds": quiet,
            "poll_seconds": 0.1,
        }
    )


def run(node: Node) -> threading.Event:
    stop, ready = threading.Event(), threading.Event()
    threading.Thread(target=node.run, args=(stop, ready.set)).start()
    ready.wait()
    return stop


def receive(folder: Path, slices: int) -> None:
    """Print the slices a second of storescp and of the node, on the same files from the same sender."""
    voxels = np.random.default_rng(0).integers(-1000, 1000, (slices, 512, 512)).astype(np.int16)
    scan = write_ct_series(
        Volume(voxels, Geometry(voxels.shape, (1.0, 1.0, 1.0))),
        folder / "scan",
        patient_id="BENCHMARK",
        study_description="SYNTHETIC",
        series_description="SYNTHETIC",
        seed=0,
    )
    port = free_port()
    (folder / "received").mkdir()
    peer = subprocess.Popen([dcmtk("storescp"), "-od", str(folder / "received"), str(port)])
    wait_for(port)
    theirs = send(list(scan.files), port, "STORESCP")
    peer.terminate()
    peer.wait()
    port = free_port()
    stop = run(Node(settings(folder, folder, port, free_port(), quiet=3600)))
    ours = send(list(scan.files), port, "GYNBTNET")
    stop.set()
    print(f"received, 512×512, {slices} slices: storescp {slices / theirs:.0f}/s, node {slices / ours:.0f}/s")


def contour(folder: Path, model: Path, scan: Path) -> None:
    """Print the time from the last slice to the RTSTRUCT, with a cold and a warm worker, and that of predict."""
    files = sorted(path for path in scan.rglob("*") if path.is_file() and _is_ct(path))
    began = time.perf_counter()
    subprocess.run(["gynbtnet", "predict", str(model), str(scan), "--out", str(folder / "predict")], check=True)
    print(f"gynbtnet predict: {time.perf_counter() - began:.1f} s")
    arrived = threading.Event()
    entity = AE("PLANNING")
    entity.supported_contexts = AllStoragePresentationContexts

    def on_store(_: evt.Event) -> int:
        arrived.set()
        return 0

    receiver, port, quiet = free_port(), free_port(), 1.0
    server = entity.start_server(("127.0.0.1", receiver), block=False, evt_handlers=[(evt.EVT_C_STORE, on_store)])
    node = Node(settings(folder, model, port, receiver, quiet))
    stop = run(node)
    for name in ("cold", "warm"):
        arrived.clear()
        send(files, port, "GYNBTNET")
        began = time.perf_counter()
        arrived.wait()
        print(f"node, {name}: {time.perf_counter() - began:.1f} s, of which {quiet:.0f} s of quiet time")
        if name == "cold":
            time.sleep(2)
            node.inbox.delete(node.inbox.files(node.queue.series()[0].key))
            with closing(sqlite3.connect(node.folder.queue)) as database, database:  # else nothing is sent twice
                database.executescript("DELETE FROM series; DELETE FROM deliveries;")
            shutil.rmtree(node.folder.results)
    stop.set()
    server.shutdown()


def _is_ct(path: Path) -> bool:
    try:
        return bool(pydicom.dcmread(path, stop_before_pixels=True).Modality == "CT")
    except Exception:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=500)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--scan", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        receive(Path(folder), arguments.slices)
    if arguments.model and arguments.scan:
        with tempfile.TemporaryDirectory() as folder:
            contour(Path(folder), arguments.model, arguments.scan)


if __name__ == "__main__":
    main()
