"""DICOMweb STOW-RS: on a port of the node, and on the server of `gynbtnet review`."""

import json
import socket
import threading
from contextlib import closing

import httpx
import numpy as np
import pytest
from starlette import testclient

from gynbtnet.imaging import read_ct_series
from gynbtnet.node.folders import NodeFolder, hashed
from gynbtnet.node.inbox import Inbox
from gynbtnet.node.intake import Intake
from gynbtnet.node.service import Node
from gynbtnet.node.stow import receiver_of_review, stow_application
from gynbtnet.review import OpenReviews, ReviewOptions, ReviewServer
from gynbtnet.runtime import BadInput

from .conftest import free_port, wait_until, with_changes
from .fake_prediction import DirectWorker

KIND = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=limit'}
TOKEN = {"Authorization": f"Bearer {'t' * 16}"}


def multipart(parts: list[bytes]) -> bytes:
    return b"".join(b"--limit\r\nContent-Type: application/dicom\r\n\r\n" + part + b"\r\n" for part in parts)


def test_stow(scan, tmp_path):
    """Instances by HTTP, without and with the token, and one that can't be parsed."""
    inbox, notes = Inbox(tmp_path / "inbox"), []
    application = stow_application("t" * 16, lambda content, _: inbox.store(content), lambda *a, **_: notes.append(a))
    body = multipart([*(path.read_bytes() for path in scan.files), b"no DICOM"])
    with testclient.TestClient(application) as client:
        for token in ({}, {"Authorization": "Bearer wrong"}):
            assert client.post("/studies", content=body, headers=KIND | token).status_code == 401
        assert not inbox.keys()
        assert client.post("/studies", content=body, headers=TOKEN).status_code == 415
        answer = client.post("/studies", content=body + b"--limit--", headers=KIND | TOKEN)
    assert answer.status_code == 202
    stored = [item["00081155"]["Value"][0] for item in answer.json()["00081199"]["Value"]]
    assert stored == [image.sop_instance_uid for image in scan.slices]
    assert answer.json()["00081198"]["Value"] == [{"00081197": {"vr": "US", "Value": [0xC000]}}]
    again = read_ct_series(inbox.series(hashed(scan.series_uid)))
    assert np.array_equal(again.volume.array, scan.volume.array)


def test_an_unexpected_error_refuses_one_instance_and_not_the_others(scan, tmp_path):
    inbox, notes = Inbox(tmp_path / "inbox"), []
    contents = [path.read_bytes() for path in scan.files]

    def store(content, caller):
        if content == contents[1]:
            raise OSError("unexpected")
        return inbox.store(content)

    application = stow_application("t" * 16, store, lambda *a, **details: notes.append(details))
    with testclient.TestClient(application) as client:
        answer = client.post("/studies", content=multipart(contents) + b"--limit--", headers=KIND | TOKEN)
    assert answer.status_code == 202
    assert len(answer.json()["00081199"]["Value"]) == 5
    assert answer.json()["00081198"]["Value"] == [{"00081197": {"vr": "US", "Value": [0x0110]}}]
    assert "an unexpected error, OSError" in [note.get("reason") for note in notes]


def test_a_port_in_use_is_one_sentence(settings, receiver):
    with socket.create_server(("127.0.0.1", 0)) as other:
        node = Node(with_changes(settings, web={"port": other.getsockname()[1], "token": "t" * 16}), DirectWorker())
        stop = threading.Event()
        with pytest.raises(BadInput, match="STOW-RS can't be served on"):
            node.run(stop, ready=stop.set)


def test_a_port_of_the_node(settings, start, scan, receiver):
    port = free_port()
    running = start(with_changes(settings, web={"port": port, "token": "t" * 16}))
    body = multipart([path.read_bytes() for path in scan.files])
    answer = httpx.post(f"http://127.0.0.1:{port}/studies", content=body, headers=KIND | TOKEN)
    assert answer.status_code == 200
    wait_until(lambda: running.states() == ["sent"])
    assert len(receiver.structure_sets) == 1


def test_the_server_of_the_review_receives_for_the_node(settings, scan, receiver):
    """Without the node running; then the node contours the scan, and the result joins the open worklist."""
    settings = with_changes(settings, web={"port": None, "token": "t" * 16})
    folder = NodeFolder(settings.folder)
    body = multipart([path.read_bytes() for path in scan.files])
    reviews = OpenReviews([], ReviewOptions(), folder.results)
    with receiver_of_review(settings) as receiving:
        server = ReviewServer(reviews, lambda link: None, receiver=receiving)
        thread = threading.Thread(target=server.run)
        thread.start()
        base = server.receiver_address.removesuffix("/stow/studies")
        try:
            with httpx.Client(timeout=60) as client:
                for token in ({}, {"Authorization": "Bearer wrong"}):
                    answer = client.post(server.receiver_address, content=body, headers=KIND | token)
                    assert answer.status_code == 401
                other_site = KIND | TOKEN | {"Host": "evil.example"}
                assert client.post(server.receiver_address, content=body, headers=other_site).status_code == 403
                assert client.get(f"{base}/api/worklist", headers=TOKEN).status_code == 403  # the token opens no page
                assert client.post(server.receiver_address, content=body, headers=KIND | TOKEN).status_code == 200
                client.get(server.link)
                worklist = client.get(f"{base}/api/worklist").json()
                assert (worklist["cases"], worklist["grows"]) == ([], True)
                node = Node(with_changes(settings, quiet_seconds=0), DirectWorker())
                with closing(node.queue), closing(node.audit):
                    node.recover()
                    node.step()
                    node.step()
                    node.deliver()
                    assert [row.state for row in node.queue.series()] == ["sent"]
                worklist = client.get(f"{base}/api/worklist").json()
                assert [case["problem"] for case in worklist["cases"]] == [""]
                assert worklist["order"] == [0]
                assert client.get(f"{base}/api/case/0").json()["structures"][0]["id"] == "hr_ctv"
        finally:
            server.stop()
            thread.join(60)
    assert len(receiver.structure_sets) == 1
    events = [json.loads(line)["event"] for line in folder.review_audit.read_text().splitlines()]
    assert events == ["rejected", "rejected", *["received"] * 6]


def test_a_review_without_web_receives_nothing(settings):
    with pytest.raises(BadInput, match="no web"), receiver_of_review(settings):
        pass
    assert Intake.of(settings).inbox.keys() == ()
