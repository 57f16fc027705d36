"""The queue alone: what becomes of deliveries that wait, are refused, or belong to an earlier result."""

import sqlite3
from contextlib import closing

import pytest

from gynbtnet.node.folders import REVIEW
from gynbtnet.node.metrics import metrics_text
from gynbtnet.node.queue import Queue, State
from gynbtnet.node.status import status_rows
from gynbtnet.runtime import BadInput


@pytest.fixture
def queue(tmp_path):
    with closing(Queue(tmp_path / "queue.sqlite")) as queue:
        yield queue


def produce(queue, content="v1", destinations=("planning",)):
    """Receive, judge and predict the series "key"."""
    if queue.find("key") is None or queue.find("key").content != content:
        queue.arrived("key", "SCANNER", 6)
    complete(queue, content, destinations)
    row = queue.find("key")
    assert queue.produced("key", content, row.version, destinations, 1.0)


def complete(queue, content="v1", destinations=("planning",)):
    seen = queue.find("key").changed
    assert queue.complete("key", seen, state=State.complete, content=content, destinations=destinations)


def delivery(queue, state="waiting"):
    (only,) = queue.deliveries(state)
    return only


def state(queue):
    return str(queue.find("key").state)


def test_a_refused_delivery_is_sent_after_a_retry(queue):
    produce(queue)
    queue.refuse(delivery(queue), "The patient differs.")
    assert state(queue) == "failed"
    assert queue.retry("key") == "it is checked again"
    produce(queue)
    assert delivery(queue).reason == ""
    queue.delivered(delivery(queue))
    assert state(queue) == "sent"


def test_a_retry_brings_waiting_and_refused_deliveries(queue):
    produce(queue, destinations=("first", "second"))
    first, second = queue.deliveries("waiting")
    queue.refuse(first, "The patient differs.")
    queue.postpone(second, second.due + 1000, "It can't be reached.")
    assert queue.retry("key") == "it is checked again"
    assert delivery(queue).due < second.due + 1000
    produce(queue, destinations=("first", "second"))
    assert [each.state for each in queue.deliveries()] == ["waiting", "waiting"]


def test_deliveries_to_a_former_destination_are_replaced(queue):
    produce(queue, destinations=("former",))
    queue.refuse(delivery(queue), "The destination former is not in the configuration any more.")
    queue.retry("key")
    produce(queue, destinations=("planning",))
    queue.delivered(delivery(queue))
    assert delivery(queue, "replaced").destination == "former"
    assert state(queue) == "sent"


@pytest.mark.parametrize("earlier", ["waiting", "refused"])
def test_a_delivery_of_an_earlier_result_does_not_keep_the_series_unfinished(queue, earlier):
    produce(queue, "v1")
    if earlier == "refused":
        queue.refuse(delivery(queue), "The patient differs.")
    produce(queue, "v2")
    assert delivery(queue, "replaced").version == "v1"
    queue.delivered(delivery(queue))
    assert state(queue) == "sent"


def test_what_was_replaced_during_an_attempt_to_send_stays_replaced(queue):
    produce(queue, "v1")
    being_sent = delivery(queue)
    produce(queue, "v2")
    queue.postpone(being_sent, 0.0, "It can't be reached.")
    queue.refuse(being_sent, "The patient differs.")
    assert delivery(queue, "replaced").version == "v1"
    assert state(queue) == "produced"


def test_a_refused_delivery_does_not_stop_a_series_that_arrives(queue):
    produce(queue)
    queue.arrived("key", "SCANNER")
    queue.refuse(delivery(queue), "The patient differs.")
    assert state(queue) == "receiving"


def test_a_result_that_was_replaced_and_comes_again_is_sent(queue):
    produce(queue, "v1")
    produce(queue, "v2")
    queue.delivered(delivery(queue))
    produce(queue, "v1")
    assert delivery(queue).version == "v1"


def test_a_series_is_not_sent_while_its_review_waits(queue):
    produce(queue)
    queue.delivered(delivery(queue))
    review = f"v1{REVIEW}001"
    assert queue.deliver_review("key", review, ["planning"])
    assert not queue.deliver_review("key", review, ["planning"])
    assert state(queue) == "produced"
    produced = status_rows(queue)[0].details
    assert produced == "planning: sent; planning, review 001: waiting"
    queue.refuse(delivery(queue), "The patient differs.")
    queue.retry("key")
    produce(queue)
    assert delivery(queue).version == review
    assert state(queue) == "produced"
    queue.delivered(delivery(queue))
    assert state(queue) == "sent"


def test_a_review_of_an_earlier_result_is_replaced(queue):
    produce(queue, "v1")
    queue.delivered(delivery(queue))
    queue.deliver_review("key", f"v1{REVIEW}001", ["planning"])
    produce(queue, "v2")
    assert delivery(queue, "replaced").version == f"v1{REVIEW}001"


def test_a_retry_counts_as_no_attempt(queue):
    produce(queue)
    queue.postpone(delivery(queue), 1e12, "It can't be reached.")
    assert queue.retry("key") == "it is sent now"
    assert delivery(queue).due < 1e12
    assert (delivery(queue).attempts, delivery(queue).reason) == (1, "It can't be reached.")
    assert status_rows(queue)[0].details == "planning: waiting (It can't be reached. 1×)"


def test_a_held_series_is_checked_again_though_an_earlier_result_waits(queue):
    produce(queue, "v1")
    queue.arrived("key", "SCANNER")
    queue.complete("key", queue.find("key").changed, state=State.held, content="v2", destinations=("planning",))
    assert "planning, earlier result: waiting" in status_rows(queue)[0].details
    assert queue.retry("key") == "it is checked again"


def test_nothing_to_retry(queue):
    with pytest.raises(BadInput, match="no series"):
        queue.retry("key")
    queue.arrived("key", "SCANNER")
    with pytest.raises(BadInput, match="nothing to retry"):
        queue.retry("key")


@pytest.mark.parametrize(
    ("text", "names"),
    [("", ()), ("a,b", ("a", "b")), ("[x]", ("[x]",)), ("2024", ("2024",)), ('["room 1, TPS"]', ("room 1, TPS",))],
)
def test_destinations_of_databases_of_earlier_versions(queue, text, names):
    queue.arrived("key", "SCANNER")
    with closing(sqlite3.connect(queue.path)) as database, database:
        database.execute("UPDATE series SET destinations = ?", (text,))
    assert queue.find("key").destinations == names


def test_a_comma_in_the_name_of_a_destination(queue):
    produce(queue, destinations=("room 1, TPS", "[x]"))
    assert queue.find("key").destinations == ("room 1, TPS", "[x]")


def test_metrics_with_an_odd_name_of_a_destination(queue):
    """Prometheus' text format escapes backslash, quotation mark and line feed in the value of a label."""
    produce(queue, destinations=('the "old"\\new\nplanning',))
    assert r'{destination="the \"old\"\\new\nplanning",state="waiting"} 1' in metrics_text(queue)
