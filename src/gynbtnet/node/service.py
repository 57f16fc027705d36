"""A running node: scans arrive, are contoured one after the other, and the contours go to their destinations."""

import logging
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

from gynbtnet.imaging.dicom.slice_repairs import Repairs
from gynbtnet.node.audit import AuditLog
from gynbtnet.node.completeness import Judgement, judge_series
from gynbtnet.node.configuration import NodeConfiguration, Sent
from gynbtnet.node.delivery import NotSent, pause, send
from gynbtnet.node.folders import REVIEW, NodeFolder
from gynbtnet.node.intake import Intake
from gynbtnet.node.jobs import Job, JobResult
from gynbtnet.node.listener import open_listener
from gynbtnet.node.metrics import serve_metrics
from gynbtnet.node.outgoing import FILES, Refused, instance_uid, missing_files, write_outgoing
from gynbtnet.node.queue import UNFINISHED, Delivery, Series, State
from gynbtnet.node.watched_folder import take_in
from gynbtnet.node.worker import Worker
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput, traceback_without_message
from gynbtnet.runtime.lock_file import file_lock
from gynbtnet.runtime.phrases import enumeration
from gynbtnet.runtime.plain_data import load_json

_LOG = logging.getLogger(__name__)
_ATTEMPTS = 2  # a job during which the worker dies is done once more
_DAY = 86400.0
_REPORT = "not_contoured.txt"
_MANIFEST = "prediction.json"
_REVIEWS = "sending reviews"
_ALL_REPAIRS = Repairs(missing_slices=True, unequal_spacing=True, gantry_tilt=True)
_OUTPUTS: dict[Sent, str] = {"rtstruct": "rtstruct", "seg": "seg"}


class Node:
    """A node with its queue, worker and doors. Every step can be interrupted by a kill and is then done again.

    Args:
        configuration: settings of the node.
        worker: worker that predicts; None: a process with the models of the configuration.
    """

    def __init__(self, configuration: NodeConfiguration, worker: Worker | None = None) -> None:
        self.configuration = configuration
        self.folder = NodeFolder(configuration.folder)
        intake = Intake.of(configuration)
        self.inbox, self.queue, self.store = intake.inbox, intake.queue, intake.store
        self.audit = AuditLog(self.folder.audit)
        self.worker = worker or Worker(limit_seconds=60 * configuration.job_minutes)
        self._result: JobResult | None = None  # of a job that ended and isn't noted yet
        self._problems: dict[tuple[str, str], str] = {}

    def run(self, stop: Event, ready: Callable[[], None] = lambda: None) -> None:
        """Run until ``stop`` is set.

        Args:
            stop: event that ends the node.
            ready: called when the doors are open.

        Raises:
            BadInput: If another node runs in the folder, or a port or certificate can't be used.
        """
        with (
            closing(self.audit),
            closing(self.queue),
            file_lock(self.folder.lock, wait=False) as held,
            ExitStack() as opened,
        ):
            if not held:
                raise BadInput(f"Another node runs in {self.folder.folder}; stop it first, or use another folder.")
            self.recover()
            opened.callback(self.worker.stop)
            listener = open_listener(self.configuration.listen, self.store, self.audit.note)
            opened.callback(listener.shutdown)
            if self.configuration.metrics_port is not None:
                metrics = serve_metrics(self.queue, self.configuration.metrics_port)
                opened.callback(metrics.server_close)
                opened.callback(metrics.shutdown)
            web = self.configuration.web
            if web is not None and web.port is not None:
                from gynbtnet.node.stow import open_web  # needs libraries that the other doors don't

                opened.callback(open_web(web, web.port, self.store, self.audit.note))
            sender = Thread(target=self._deliver_until, args=(stop,), name="gynbtnet-sender")
            sender.start()
            opened.callback(sender.join)
            opened.callback(stop.set)
            ready()
            while not stop.is_set():
                self.step()
                stop.wait(self.configuration.poll_seconds)

    def recover(self) -> None:
        """Make queue and inbox agree after a start, even after a kill."""
        keys = self.inbox.keys()
        contents = {key: (self.inbox.content(key), len(self.inbox.files(key))) for key in keys}
        self.queue.recover(contents)

    def step(self) -> None:
        """Do once what is to be done: take in files, judge series, start and finish predictions, delete old scans.

        An error is logged and doesn't stop the rest; the next step tries again.
        """
        if self.configuration.watch is not None:
            with self._continuing("taking in files"):
                take_in(self.configuration.watch, self.queue, self.store, self.audit.note)
        for name, task in (
            ("judging series", self._judge),
            ("predicting", self._predict),
            (_REVIEWS, self._send_reviews),
            ("deleting", self._delete_old),
        ):
            with self._continuing(name):
                task()

    @contextmanager
    def _continuing(self, task: str, key: str = "") -> Iterator[None]:
        """Log an error without identifiers, once until the task succeeds again or fails otherwise, and continue."""
        try:
            yield
        except Exception as error:
            _LOG.debug("%s failed: %s", task, traceback_without_message(error))
            if isinstance(error, BadInput):
                reason = str(error)
            else:  # the message of another error may name a file
                reason = (isinstance(error, OSError) and error.strerror) or type(error).__name__
            if self._problems.get((task, key)) != reason:
                self._problems[task, key] = reason
                _LOG.error("%s failed%s: %s", task.capitalize(), f" for the series {key}" if key else "", reason)
                self.audit.note("error", task=task, series=key or None, reason=reason)
        else:
            self._problems.pop((task, key), None)

    def deliver(self) -> None:
        """Try once to send every result that is due."""
        now = time.time()
        for delivery in self.queue.deliveries("waiting"):
            if delivery.due > now:
                continue
            try:
                self._deliver(delivery)
            except Exception as error:  # the other deliveries must not wait for this one
                _LOG.debug("sending failed: %s", traceback_without_message(error))
                self._postpone(delivery, f"An unexpected error stopped the sending ({type(error).__name__}).")

    def _deliver_until(self, stop: Event) -> None:
        while not stop.is_set():
            with self._continuing("sending"):
                self.deliver()
            stop.wait(self.configuration.poll_seconds)

    def _judge(self) -> None:
        latest = time.time() - self.configuration.quiet_seconds
        for row in self.queue.series(State.receiving):
            if row.changed > latest:
                continue
            with self._continuing("judging", row.key):
                content, instances = self.inbox.content(row.key), len(self.inbox.files(row.key))
                if not instances:
                    self.queue.complete(row.key, row.changed, state=State.ignored, reason="Its instances were deleted.")
                elif content == row.content and self._was_sent(row):
                    self.queue.complete(row.key, row.changed, state=State.sent, instances=instances)
                else:
                    self._judge_series(row, content, instances)

    def _was_sent(self, row: Series) -> bool:
        deliveries = [delivery for delivery in self.queue.deliveries() if delivery.key == row.key]
        if any(delivery.state in UNFINISHED for delivery in deliveries):
            return False
        states = {delivery.state for delivery in deliveries if delivery.version == row.version}
        return bool(states) and states == {"sent"}

    def _judge_series(self, row: Series, content: str, instances: int) -> None:
        rules = self.configuration.rules
        try:
            judgement = judge_series(self.inbox, row.key, rules, row.caller, released=row.released)
        except Exception as error:  # a person must see it, and the other series be judged
            _LOG.debug("judging failed: %s", traceback_without_message(error))
            judgement = Judgement(State.held, f"An unexpected error stopped the check ({type(error).__name__}).")
        rule = judgement.rule
        destinations = rule.destinations if rule else ()
        repeats = row.repeats if content == row.content else 0
        is_same = judgement.state == State.complete and content == row.content and self._has_result(row)
        if is_same and self._lacks_files(row, destinations):
            repeats += 1  # another result, with these files
        changed = self.queue.complete(
            row.key,
            row.changed,
            state=judgement.state,
            reason=judgement.reason,
            content=content,
            repeats=repeats,
            instances=instances,
            model=(rule.model if rule else None) or "",
            destinations=destinations,
        )
        if changed:
            self.audit.note(
                str(judgement.state), series=row.key, ae=row.caller, instances=instances, reason=judgement.reason
            )

    def _has_result(self, row: Series) -> bool:
        return (self.folder.result(row.key, row.version) / _MANIFEST).is_file()

    def _lacks_files(self, row: Series, destinations: tuple[str, ...]) -> bool:
        return bool(missing_files(self.folder.result(row.key, row.version), self._kinds(destinations)))

    def _kinds(self, destinations: tuple[str, ...]) -> tuple[Sent, ...]:
        """Return what the destinations receive, those aside that the configuration doesn't have any more."""
        known = self.configuration.destinations
        return tuple(sorted({kind for name in destinations if name in known for kind in known[name].send}))

    def _predict(self) -> None:
        self._result = self._result or self.worker.result()
        if self._result is not None:
            self._finish(self._result)
            self._result = None
        if self.worker.job is not None:
            return
        for row in self.queue.series(State.complete):
            if self._has_result(row):  # what was refused, or what a kill left
                self._note_produced(row, row.content, row.version, None)
                continue
            if row.model not in self.configuration.models:
                reason = f"The model {row.model} is not in the configuration any more."
                self.queue.set(row.key, State.failed, unless_changed_from=row.content, reason=reason)
                continue
            if self.queue.set(row.key, State.running, unless_changed_from=row.content):
                self._submit(row)
                return

    def _submit(self, row: Series) -> None:
        try:
            self.worker.submit(self._job(row))
        except Exception:  # the next step tries again
            self.queue.set(row.key, State.complete, unless_changed_from=row.content)
            raise
        self.audit.note("running", series=row.key, model=row.model)

    def _job(self, row: Series) -> Job:
        model = self.configuration.models[row.model]
        kinds = self._kinds(row.destinations)
        outputs = {_OUTPUTS[kind] for kind in kinds if kind in _OUTPUTS} | {"rtstruct", "nifti"}
        return Job(
            key=row.key,
            content=row.content,
            version=row.version,
            scan=self.inbox.series(row.key),
            out=self.folder.result(row.key, row.version),
            model=model.path,
            fast=model.fast,
            backend=model.backend,
            outputs=tuple(sorted(outputs)),
            repairs=_ALL_REPAIRS if row.released else Repairs(),
        )

    def _finish(self, result: JobResult) -> None:
        job, row = result.job, self.queue.find(result.job.key)
        if row is None or row.content != job.content or row.state != State.running:
            return  # other instances have arrived; the series is judged again
        if result.died and row.attempts + 1 < _ATTEMPTS:
            self.queue.set(job.key, State.complete, unless_changed_from=job.content, attempts=row.attempts + 1)
            self.audit.note("worker died", series=job.key, reason=result.refused)
        elif result.refused is not None:
            reason = result.refused.replace(str(job.scan), "this series").replace(str(job.out), "the result")
            with self._continuing("writing a report", job.key), atomic_write(self._report(job.key, job.version)) as new:
                new.write_text(reason + "\n", encoding="utf-8")
            self.queue.set(job.key, State.failed, unless_changed_from=job.content, reason=reason)
            self.audit.note("failed", series=job.key, model=row.model, reason=reason)
        else:
            self._note_produced(row, job.content, job.version, result.seconds)

    def _note_produced(self, row: Series, content: str, version: str, seconds: float | None) -> None:
        with self._continuing("deleting a report", row.key):
            self._report(row.key, version).unlink(missing_ok=True)  # of an earlier attempt
        if self.queue.produced(row.key, content, version, row.destinations, seconds):
            self.audit.note(
                "produced",
                series=row.key,
                model=row.model,
                model_sha256=_model_digest(self.folder.result(row.key, version)),
                seconds=None if seconds is None else round(seconds, 1),
            )

    def _report(self, key: str, version: str) -> Path:
        """Return the path of the text with the reason why a scan has no contours, next to the other results."""
        result = self.folder.result(key, version)
        return result.with_name(f"{result.name}.{_REPORT}")

    def _deliver(self, delivery: Delivery) -> None:
        destination = self.configuration.destinations.get(delivery.destination)
        if destination is None:
            reason = f"The destination {delivery.destination} is not in the configuration any more."
            self.queue.refuse(delivery, reason)
            self.audit.note("refused to send", series=delivery.key, to=delivery.destination, reason=reason)
            return
        try:
            files = self._outgoing(delivery, destination.send)
        except Refused as problem:
            self.queue.refuse(delivery, str(problem))
            self.audit.note("refused to send", series=delivery.key, to=destination.ae_title, reason=str(problem))
            return
        try:
            send(files, destination, self.configuration.listen.ae_title)
        except NotSent as problem:
            self._postpone(delivery, str(problem))
            self.audit.note("not sent", series=delivery.key, to=destination.ae_title, reason=str(problem))
            return
        self.queue.delivered(delivery)
        self.audit.note("sent", series=delivery.key, to=destination.ae_title, objects=len(files))

    def _postpone(self, delivery: Delivery, reason: str) -> None:
        settings = self.configuration
        seconds = pause(delivery.attempts + 1, settings.first_pause_seconds, settings.longest_pause_seconds)
        self.queue.postpone(delivery, time.time() + seconds, reason)

    def _outgoing(self, delivery: Delivery, kinds: tuple[Sent, ...]) -> list[Path]:
        result, is_review = self.folder.result(delivery.key, delivery.version), REVIEW in delivery.version
        folder = write_outgoing(
            result,
            self.inbox.files(delivery.key),
            self.folder.outgoing(delivery.key, delivery.version),
            None if is_review else self._replaced(delivery),  # a review names it itself
            allow_approved=is_review,
        )
        missing = () if is_review else missing_files(result, kinds)
        if missing:
            raise Refused(f"The result has no {enumeration(missing)}; nothing is sent. --retry makes another result.")
        files = [folder / FILES[kind] for kind in kinds if (folder / FILES[kind]).is_file()]
        if not files:
            raise Refused("The result has no file that this destination receives; nothing is sent.")
        return files

    def _replaced(self, delivery: Delivery) -> str | None:
        """Return the UID of the last structure set of this series that was sent to anybody."""
        earlier = [
            other
            for other in self.queue.deliveries("sent")
            if other.key == delivery.key and other.version != delivery.version
        ]
        for other in sorted(earlier, key=lambda other: other.changed, reverse=True):
            with suppress(OSError):
                return instance_uid(self.folder.outgoing(other.key, other.version) / FILES["rtstruct"])
        return None

    def _send_reviews(self) -> None:
        """Send what `gynbtnet review` wrote for a result to its destinations, unless one receives no such files."""
        for row in self.queue.series(State.produced, State.sent):
            with self._continuing(_REVIEWS, row.key):
                for version in self.folder.reviews(row.key, row.version):
                    written = self.folder.result(row.key, version)
                    names = [name for name in row.destinations if self._has_files(written, name)]
                    if self.queue.deliver_review(row.key, version, names):
                        self.audit.note("reviewed", series=row.key, review=version.partition(REVIEW)[2])

    def _has_files(self, result: Path, destination: str) -> bool:
        """Return whether a review has files for a destination, or the destination is unknown, which is reported."""
        known = self.configuration.destinations.get(destination)
        return known is None or any((result / FILES[kind]).is_file() for kind in known.send)

    def _delete_old(self) -> None:
        """Delete scans and results of which nothing was sent, and no review written or edited, for long enough."""
        retention, now = self.configuration.retention, time.time()
        limits = [days for days in (retention.received_days, retention.results_days) if days is not None]
        if not limits or any(task == _REVIEWS for task, _ in self._problems):  # a review may not be in the queue
            return
        unfinished = {delivery.key for delivery in self.queue.deliveries(*UNFINISHED)}
        results = self.folder.results_by_key()
        for row in self.queue.series(State.sent):
            if row.key in unfinished or now - row.changed < min(limits) * _DAY:
                continue
            with self._continuing("deleting", row.key):
                paths = results.get(row.key, ())
                days = (now - max(row.changed, _last_edit(paths))) / _DAY
                is_scan_due = retention.received_days is not None and days >= retention.received_days
                if is_scan_due and row.instances and not self._delete_scan(row):
                    continue  # another instance has arrived
                if retention.results_days is not None and days >= retention.results_days:
                    self._delete_results(row.key, paths)
                    if is_scan_due or not row.instances:
                        self.queue.note_deleted(row, State.deleted)

    def _delete_scan(self, row: Series) -> bool:
        """Delete the scan of a series, unless another instance has arrived."""
        files = self.inbox.files(row.key)
        if self.inbox.content(row.key) != row.content or not self.queue.note_deleted(row, State.sent):
            return False
        self.inbox.delete(files)
        self.audit.note("deleted the scan", series=row.key, instances=row.instances)
        return True

    def _delete_results(self, key: str, paths: Sequence[Path]) -> None:
        for path in paths:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if paths:
            self.audit.note("deleted the results", series=key)


def _last_edit(results: Sequence[Path]) -> float:
    """Return when a review of any of the results was last written or edited; 0 without one."""
    times = (path.stat().st_mtime for result in results for path in result.glob("review/*"))
    return max(times, default=0.0)


def _model_digest(result: Path) -> str:
    with suppress(Exception):
        return str(load_json(result / _MANIFEST)["model"]["sha256"])
    return ""
