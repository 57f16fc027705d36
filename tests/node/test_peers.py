"""The node with other DICOM software: dcmtk, Orthanc, TLS, many and malformed associations."""

import json
import os
import random
import resource
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pydicom
import pynetdicom.association
import pytest
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dsutils import encode
from pynetdicom.sop_class import CTImageStorage, Verification  # type: ignore[attr-defined]

from gynbtnet.node.folders import NodeFolder
from gynbtnet.node.inbox import Inbox, Unusable

from .conftest import Running, free_port, store, wait_until, with_changes, write_scan

DEBIAN = "/usr/bin:/usr/local/bin"  # pynetdicom has programs of the same names
STORESCU, STORESCP = shutil.which("storescu", path=DEBIAN), shutil.which("storescp", path=DEBIAN)
ORTHANC = shutil.which("Orthanc")
OPENSSL = shutil.which("openssl")


def wait_for(port: int) -> None:
    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(answers)


@pytest.mark.skipif(STORESCU is None or STORESCP is None, reason="storescu (Debian: dcmtk) is not installed")
def test_dcmtk_sends_and_receives(settings, start, scan, tmp_path):
    port, received = free_port(), tmp_path / "received"
    received.mkdir()
    process = subprocess.Popen([STORESCP, "-aet", "PLANNING", "-od", str(received), str(port)])
    try:
        wait_for(port)
        destinations = {"planning": {"address": "127.0.0.1", "port": port, "ae_title": "PLANNING"}}
        running = start(with_changes(settings, destinations=destinations))
        arguments = ["-aet", "SCANNER", "-aec", "GYNBTNET", "127.0.0.1", str(settings.listen.port)]
        subprocess.run([STORESCU, *arguments, *map(str, scan.files)], check=True)
        wait_until(lambda: running.states() == ["sent"])
    finally:
        process.terminate()
        process.wait(10)
    (path,) = received.iterdir()
    assert pydicom.dcmread(path).ApprovalStatus == "UNAPPROVED"
    assert pydicom.dcmread(path).StudyInstanceUID == scan.study_uid


@pytest.fixture
def orthanc(settings, tmp_path) -> Iterator[tuple[int, int]]:
    """DICOM and HTTP port of an Orthanc that knows the node."""
    dicom, http = free_port(), free_port()
    configuration = {
        "Name": "test",
        "StorageDirectory": str(tmp_path / "orthanc"),
        "IndexDirectory": str(tmp_path / "orthanc"),
        "DicomAet": "SCANNER",
        "DicomPort": dicom,
        "HttpPort": http,
        "RemoteAccessAllowed": False,
        "DicomCheckCalledAet": False,
        "DicomAlwaysAllowStore": True,
        "DicomModalities": {"node": ["GYNBTNET", "127.0.0.1", settings.listen.port]},
        "StableAge": 1,
    }
    (tmp_path / "orthanc.json").write_text(json.dumps(configuration))
    (tmp_path / "rule.lua").write_text(
        "function OnStableStudy(id, tags, metadata) RestApiPost('/modalities/node/store', id) end\n"
    )
    configuration["LuaScripts"] = [str(tmp_path / "rule.lua")]
    (tmp_path / "orthanc.json").write_text(json.dumps(configuration))
    process = subprocess.Popen(
        [str(ORTHANC), str(tmp_path / "orthanc.json")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(http)
        yield dicom, http
    finally:
        process.terminate()
        process.wait(30)


def get(http: int, path: str, content: bytes | None = None) -> Any:
    return json.loads(urlopen(Request(f"http://127.0.0.1:{http}{path}", data=content)).read())


@pytest.mark.skipif(ORTHANC is None, reason="Orthanc (Debian: orthanc) is not installed")
def test_orthanc_sends_a_study_by_its_rule_and_gets_the_contours(settings, start, orthanc, scan):
    dicom, http = orthanc
    destinations = {
        "pacs": {"address": "127.0.0.1", "port": dicom, "ae_title": "SCANNER", "send": ["rtstruct", "seg"]},
    }
    rules = [{"model": "pelvis", "destinations": ["pacs"]}]
    running = start(with_changes(settings, destinations=destinations, rules=rules))
    for path in scan.files:
        get(http, "/instances", path.read_bytes())
    wait_until(lambda: "sent" in running.states(), 90)
    (study,) = get(http, "/studies")
    modalities = [
        get(http, f"/series/{series}")["MainDicomTags"]["Modality"]
        for series in get(http, f"/studies/{study}")["Series"]
    ]
    assert sorted(modalities) == ["CT", "RTSTRUCT", "SEG"]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, two certificates of it, and one of a stranger."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run([str(OPENSSL), *arguments], cwd=folder, check=True, capture_output=True)

    for authority in ("authority", "stranger"):
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{authority}.key", "-out",
                f"{authority}.pem", "-days", "2", "-subj", f"/CN={authority}")  # fmt: skip
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    for name, authority in (("node", "authority"), ("scanner", "authority"), ("intruder", "stranger")):
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr",
                "-subj", f"/CN={name}")  # fmt: skip
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key",
                "-CAcreateserial", "-out", f"{name}.pem", "-days", "2", "-extfile", "names")  # fmt: skip
    return folder


@pytest.fixture
def start_with_tls(settings, start, certificates) -> Callable[[], Running]:
    """Start a node that has its own certificate and demands one of the authority."""
    files = {"certificate": "node.pem", "key": "node.key", "authority": "authority.pem"}
    tls = {key: certificates / value for key, value in files.items()}
    return lambda: start(with_changes(settings, listen=settings.listen.model_dump() | {"tls": tls}))


def associate(port: int, certificates: Path, name: str | None) -> Association:
    """Associate with a node that has TLS; a name of None is a peer without TLS."""
    context = None
    if name is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(certificates / "authority.pem")
        context.load_cert_chain(certificates / f"{name}.pem", certificates / f"{name}.key")
    entity = AE("SCANNER")
    entity.acse_timeout = entity.network_timeout = 3
    entity.add_requested_context(CTImageStorage)
    tls = (context, "127.0.0.1") if context else None
    return entity.associate("127.0.0.1", port, ae_title="GYNBTNET", tls_args=tls)


@pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed")
@pytest.mark.parametrize(("name", "accepted"), [("scanner", True), ("intruder", False), (None, False)])
def test_tls_with_an_own_authority(settings, start_with_tls, scan, certificates, name, accepted):
    running = start_with_tls()
    association = associate(settings.listen.port, certificates, name)
    assert association.is_established == accepted
    if accepted:
        assert association.send_c_store(pydicom.dcmread(scan.files[0])).Status == 0
        association.release()
    assert running.states() == (["receiving"] if accepted else [])
    audit = NodeFolder(settings.folder).audit
    wait_until(lambda: ("no TLS connection" in audit.read_text()) != accepted)


@pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed")
def test_a_silent_peer_does_not_hold_up_tls_connections(settings, start_with_tls, certificates, monkeypatch):
    monkeypatch.setattr("gynbtnet.node.listener._HANDSHAKE_SECONDS", 3)
    start_with_tls()
    with socket.create_connection(("127.0.0.1", settings.listen.port)) as silent:
        association = associate(settings.listen.port, certificates, "scanner")
        assert association.is_established
        association.release()
        silent.settimeout(30)
        assert silent.recv(1) == b""  # the node has closed the connection


def test_many_associations_and_malformed_ones(settings, start, scan):
    running = start(with_changes(settings, quiet_seconds=600))
    for path in scan.files[:2]:
        store([path], settings.listen.port)
    generator = random.Random(0)
    for _ in range(10):  # not DICOM at all
        with socket.create_connection(("127.0.0.1", settings.listen.port)) as connection:
            connection.sendall(generator.randbytes(200))
    entity = AE("SCANNER")
    entity.add_requested_context(Verification)

    def echoes() -> bool:
        association = entity.associate("127.0.0.1", settings.listen.port, ae_title="GYNBTNET")
        answered = association.is_established and association.send_c_echo().Status == 0
        association.release()
        return answered

    wait_until(echoes)  # the malformed ones count as associations until they are noticed
    assert all(echoes() for _ in range(20))
    assert set(store(scan.files[2:], settings.listen.port)) == {0}
    assert running.node.queue.series()[0].instances == 6


def test_mutated_datasets_are_kept_or_refused(tmp_path, scan):
    """1,000 mutations: a damaged instance is never kept as another series' without its UIDs."""
    inbox = Inbox(tmp_path / "inbox")
    content, generator = scan.files[0].read_bytes(), random.Random(1)
    kept = 0
    for _ in range(1000):
        mutated = bytearray(content)
        for _ in range(generator.randint(1, 8)):
            mutated[generator.randrange(len(mutated))] = generator.randrange(256)
        cut = generator.choice([len(mutated), generator.randrange(len(mutated))])
        try:
            header, kind = inbox.store(bytes(mutated[:cut]))
        except Unusable:
            continue
        kept += kind == "new"
        assert header.series_uid
        assert header.sop_instance_uid
    assert 0 < kept < 1000
    assert not list(inbox.folder.rglob("*.partial"))


@pytest.mark.parametrize("count", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_mutated_datasets_never_stop_the_listener(settings, start, scan, monkeypatch, count):
    """They travel as bytes, as a damaged sender would send them; then a whole scan arrives as ever."""
    running = start(with_changes(settings, quiet_seconds=600))
    generator = random.Random(2)

    def damaged(dataset: Any, *arguments: Any, **options: Any) -> bytes:
        content = bytearray(encode(dataset, *arguments, **options) or b"")
        for _ in range(generator.randint(1, 8)):
            content[generator.randrange(len(content))] = generator.randrange(256)
        return bytes(content[: generator.choice([len(content), generator.randrange(2, len(content))])])

    with monkeypatch.context() as changed:
        changed.setattr(pynetdicom.association, "encode", damaged)
        answers = [status for _ in range(count // 6) for status in store(scan.files, settings.listen.port)]
    assert len(answers) >= count // 6
    assert {0xC000, 0xA900} & set(answers)
    assert set(store(write_scan(settings.folder.parent / "whole", 9).files, settings.listen.port)) == {0}
    assert 6 in [row.instances for row in running.node.queue.series()]


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mount") is None, reason="only root can mount a small disk")
def test_a_full_small_file_system(settings, start, tmp_path, scan):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)], check=False)
    if mounted.returncode:
        pytest.skip("a small disk can't be mounted here")
    try:
        inbox = Inbox(disk / "inbox")
        large = write_scan(tmp_path / "large", 3, slices=400)
        from gynbtnet.node.inbox import Full

        stored = 0
        with pytest.raises(Full):
            for path in large.files:
                inbox.store(path.read_bytes())
                stored += 1
        assert stored > 10
        (key,) = inbox.keys()
        assert len(inbox.files(key)) == stored  # what was answered with success is there, whole
        assert len(inbox.headers(key)) == stored
        assert not list(disk.rglob("*.partial"))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.slow
def test_two_hundred_associations_and_5000_slices_with_flat_memory(settings, start, tmp_path):
    running = start(with_changes(settings, quiet_seconds=600))
    scans = [write_scan(tmp_path / f"scan-{number}", number, f"P{number}", slices=250) for number in range(20)]
    peaks = []
    for scan in scans:
        for start_of_part in range(0, 250, 25):  # 10 associations each
            assert set(store(scan.files[start_of_part : start_of_part + 25], settings.listen.port)) == {0}
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    assert sum(row.instances for row in running.node.queue.series()) == 5000
    assert peaks[-1] < peaks[4] + 50_000  # KiB
