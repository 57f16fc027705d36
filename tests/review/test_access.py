"""Answers of the server to its page and to everybody else."""

import errno
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gynbtnet.review.lease import DURATION_S, Lease
from gynbtnet.review.open_reviews import OpenReviews, ReviewOptions
from gynbtnet.review.session import ReviewSession
from gynbtnet.review.web.server import ReviewServer
from gynbtnet.review.worklist import find_predictions
from gynbtnet.runtime import BadInput


@pytest.fixture
def serve() -> Iterator[Callable[..., ReviewServer]]:
    """Return a function that serves a folder of predictions until the end of the test."""
    running: list[tuple[ReviewServer, threading.Thread]] = []

    def start(folder: Path, announce: Callable[[str], None] = lambda link: None, **options: Any) -> ReviewServer:
        server = ReviewServer(OpenReviews(find_predictions(folder), ReviewOptions(**options)), announce)
        thread = threading.Thread(target=server.run)
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.stop()
        thread.join(120)
        assert not thread.is_alive()


def port_of(server: ReviewServer) -> int:
    return int(re.search(r":(\d+)/", server.link)[1])


def client_of(server: ReviewServer) -> httpx.Client:
    base = f"http://127.0.0.1:{port_of(server)}"
    return httpx.Client(base_url=base, headers={"Origin": base}, timeout=120)


PATHS = ("/", "/app.js", "/page.css", "/api/worklist", "/api/case/0", "/api/case/0/image", "/api/case/0/mask/0", "/no")


def test_who_gets_what(make_prediction: Callable[..., Path], serve: Callable[..., ReviewServer]) -> None:
    links: list[str] = []
    server = serve(make_prediction(), links.append)
    first = server.link
    with client_of(server) as client:
        for path in (*PATHS, "/open", "/open?token=", "/open?token=wrong"):
            answer = client.get(path)
            assert (answer.status_code, answer.content) == (403, b""), path
        assert client.post("/api/case/0/undo", json={"tab": "t", "revision": 1}).status_code == 403
        # The link lets one browser in, once.
        answer = client.get(first)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie and "samesite=strict" in cookie.lower()
        assert httpx.get(first).status_code == 403
        assert links == [server.link] and server.link != first
        for path in PATHS:
            answer = client.get(path)
            assert answer.status_code == (404 if path == "/no" else 200), path
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
            assert answer.headers["cache-control"] == "no-store"
        # Another site's page or name gets nothing, even with the cookie.
        body = {"tab": "t", "structure": "bladder", "slices": [1]}
        assert client.post("/api/case/0/view", json=body).status_code == 200
        for origin in ("http://evil.example", "null", ""):
            assert client.post("/api/case/0/view", json=body, headers={"Origin": origin}).status_code == 403
        assert client.get("/api/worklist", headers={"Host": f"evil.example:{port_of(server)}"}).status_code == 403
        assert client.get("/../server.py").status_code == 404
        assert client.get("/%2e%2e/server.py").status_code == 404


def test_wrong_requests_change_nothing(
    make_prediction: Callable[..., Path], serve: Callable[..., ReviewServer]
) -> None:
    folder = make_prediction()
    server = serve(folder)
    with client_of(server) as client:
        client.get(server.link)
        revision = client.get("/api/case/0/state").json()["revision"]
        length = (folder / "review" / "journal.jsonl").stat().st_size
        patch = {"axis": 0, "index": 1, "row": 0, "column": 0, "height": 1, "width": 1, "bits": "gA=="}
        good = {"tab": "t", "structure": "bladder", "tool": "brush", "revision": revision, "patches": [patch]}
        wrong = [
            ({**good, "structure": "spleen"}, 409),
            ({**good, "tool": "hammer"}, 400),
            ({**good, "patches": [{**patch, "index": 99}]}, 409),
            ({**good, "patches": [{**patch, "bits": "A"}]}, 409),
            ({**good, "more": 1}, 400),
            ({**good, "revision": revision + 1}, 409),
            ({}, 400),
        ]
        for body, code in wrong:
            assert client.post("/api/case/0/edit", json=body).status_code == code, body
        assert client.post("/api/case/0/edit", content=b"{").status_code == 400
        assert client.post("/api/case/9/edit", json=good).status_code == 400
        assert (folder / "review" / "journal.jsonl").stat().st_size == length
        assert client.post("/api/case/0/edit", json=good).status_code == 200
        answer = client.post("/api/case/0/edit", json={**good, "tab": "other"})
        assert (answer.status_code, answer.json()["read_only"]) == (409, True)


@pytest.mark.parametrize(("action", "fails"), [("write", "written"), ("edit", "edit")])
def test_a_full_disk_is_reported_truthfully(
    make_prediction: Callable[..., Path],
    serve: Callable[..., ReviewServer],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    action: str,
    fails: str,
) -> None:
    """If only the journal's note of a finished review fails, the review exists and the answer is its folder."""
    folder = make_prediction()
    server = serve(folder)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ReviewSession, fails, full)
    with client_of(server) as client:
        client.get(server.link)
        stroke = {"structure": "bladder", "tool": "brush", "patches": [], "revision": 0}
        answer = client.post(f"/api/case/0/{action}", json={"tab": "t", **(stroke if action == "edit" else {})})
    if fails == "edit":
        assert answer.status_code == 507 and "Nothing was changed" in answer.text
    else:
        assert (answer.status_code, answer.json()["folder"]) == (200, str(folder / "review" / "001"))
        assert (folder / "review" / "001" / "review.json").is_file() and "was written, but" in caplog.text


def test_a_lease_is_held_by_one_tab() -> None:
    now = [0.0]
    lease = Lease(lambda: now[0])
    assert lease.claim("a") and not lease.claim("b") and not lease.claim("")
    now[0] += DURATION_S - 1
    assert lease.claim("a") and not lease.claim("b")
    now[0] += DURATION_S + 1
    assert lease.claim("b") and not lease.claim("a")
    lease.release("a")
    assert not lease.claim("a")
    lease.release("b")
    assert lease.claim("a")


def test_a_port_in_use_is_named(make_prediction: Callable[..., Path], serve: Callable[..., ReviewServer]) -> None:
    folder = make_prediction()
    port = port_of(serve(folder))
    with pytest.raises(BadInput, match=f"port {port} of this machine is in use"):
        ReviewServer(OpenReviews(find_predictions(folder), ReviewOptions()), print, port)


@pytest.fixture
def five_cases(make_prediction: Callable[..., Path]) -> Iterator[OpenReviews]:
    for number in range(5):
        folder = make_prediction(f"case-{number}")
    reviews = OpenReviews(find_predictions(folder.parent), ReviewOptions())
    yield reviews
    reviews.close()


def journal_lines(reviews: OpenReviews) -> list[int]:
    journals = [item.folder / "review" / "journal.jsonl" for item in reviews.items]
    return [len(journal.read_bytes().splitlines()) for journal in journals if journal.exists()]


def test_only_a_few_cases_stay_open(five_cases: OpenReviews) -> None:
    opened = [five_cases.get(number) for number in range(5)]
    assert [review.closed for review in opened] == [True, True, False, False, False]
    assert five_cases.get(4) is opened[4] and five_cases.get(0) is not opened[0]
    assert five_cases.get(0).session.revision == opened[0].session.revision, "pages needn't load it again"


def test_edited_cases_stay_open(five_cases: OpenReviews) -> None:
    """Four tabs ask for their leases, as each page does every few seconds; then two of them are closed."""
    now = [0.0]
    opened = [five_cases.get(number) for number in range(3)]
    for review in opened:
        review.lease = Lease(lambda: now[0])
        assert review.lease.claim("tab")
    opened.append(five_cases.get(3))
    lines = journal_lines(five_cases)
    assert all(five_cases.get(number) is opened[number] for number in (0, 1, 2, 3) * 2)
    assert journal_lines(five_cases) == lines
    five_cases.release(0, "tab")
    five_cases.release(1, "another tab")
    five_cases.release(2, "tab")
    five_cases.release(4, "tab")
    five_cases.get(4)
    assert [review.closed for review in opened] == [True, False, True, False]
    now[0] += DURATION_S + 1
    five_cases.get(0)
    assert [review.closed for review in opened] == [True, True, True, False]


def test_a_case_in_use_is_not_waited_for(five_cases: OpenReviews) -> None:
    """While a review is written, others are opened, and the writer marks it at the end."""
    first = five_cases.get(0)
    others = threading.Thread(target=lambda: [five_cases.get(number) for number in range(1, 5)], daemon=True)
    with first.lock:
        others.start()
        others.join(60)
        assert not others.is_alive()
        five_cases.mark_written(0)
    assert not first.closed and five_cases.items[0].is_written


def test_a_slow_case_holds_up_no_other(five_cases: OpenReviews, monkeypatch: pytest.MonkeyPatch) -> None:
    started, go_on, read = threading.Event(), threading.Event(), OpenReviews._read

    def slow(reviews: OpenReviews, folder: Path) -> Any:
        if folder == reviews.items[0].folder:
            started.set()
            assert go_on.wait(60)
        return read(reviews, folder)

    monkeypatch.setattr(OpenReviews, "_read", slow)
    opening = threading.Thread(target=five_cases.get, args=(0,))
    opening.start()
    assert started.wait(60)
    other = threading.Thread(target=five_cases.get, args=(1,), daemon=True)
    other.start()
    other.join(60)
    assert not other.is_alive()
    five_cases.release(0, "tab")
    go_on.set()
    opening.join(60)
    assert not five_cases.get(0).closed
