"""A running node: scans arrive, are contoured one after the other, and the contours go to their destinations."""

import logging
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from threading import Event, Thread

from gynbtnet.imaging.dicom.slice_repairs import Repairs
from gynbtnet.node.audit import AuditLog
from gynbtnet.node.completeness import judge_series
from gynbtnet.node.configuration import NodeConfiguration, Sent
from gynbtnet.node.delivery import NotSent, pause, send
from gynbtnet.node.folders import REVIEW, NodeFolder
from gynbtnet.node.intake import Intake
from gynbtnet.node.jobs import Job, JobResult
from gynbtnet.node.listener import open_listener
from gynbtnet.node.metrics import serve_metrics
from gynbtnet.node.outgoing import FILES, WrongIdentity, instance_uid, write_outgoing
from gynbtnet.node.queue import Delivery, Series, State
from gynbtnet.node.watched_folder import take_in
from gynbtnet.node.worker import Worker
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.lock_file import file_lock
from gynbtnet.runtime.plain_data import load_json

_LOG = logging.getLogger(__name__)
_ATTEMPTS = 2  # a job during which the worker dies is done once more
_DAY = 86400.0
_REPORT = "not_contoured.txt"
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
        """Do once what is to be done: take in files, judge series, start and finish predictions, delete old scans."""
        if self.configuration.watch is not None:
            take_in(self.configuration.watch, self.queue, self.store, self.audit.note)
        self._judge()
        self._predict()
        self._send_reviews()
        self._delete_old()

    def deliver(self) -> None:
        """Try once to send every result that is due."""
        now = time.time()
        for delivery in self.queue.deliveries("waiting"):
            if delivery.due > now:
                continue
            try:
                self._deliver(delivery)
            except Exception as error:  # the other deliveries must not wait for this one
                _LOG.debug("sending failed", exc_info=True)
                self._postpone(delivery, f"An unexpected error stopped the sending ({type(error).__name__}).")

    def _deliver_until(self, stop: Event) -> None:
        while not stop.is_set():
            try:
                self.deliver()
            except BadInput as problem:  # the queue can't be used; the next round tries again
                _LOG.error("%s", problem)
            stop.wait(self.configuration.poll_seconds)

    def _judge(self) -> None:
        latest = time.time() - self.configuration.quiet_seconds
        for row in self.queue.series(State.receiving):
            if row.changed > latest:
                continue
            content, instances = self.inbox.content(row.key), len(self.inbox.files(row.key))
            if not instances:
                self.queue.complete(row.key, row.changed, state=State.ignored, reason="Its instances were deleted.")
            elif content == row.content and self._was_sent(row):
                self.queue.complete(row.key, row.changed, state=State.sent, instances=instances)
            else:
                self._judge_series(row, content, instances)

    def _was_sent(self, row: Series) -> bool:
        deliveries = [delivery for delivery in self.queue.deliveries() if delivery.key == row.key]
        states = {delivery.state for delivery in deliveries if delivery.version == row.version}
        return bool(states) and states == {"sent"}

    def _judge_series(self, row: Series, content: str, instances: int) -> None:
        rules = self.configuration.rules
        judgement = judge_series(self.inbox, row.key, rules, row.caller, released=row.released)
        rule = judgement.rule
        changed = self.queue.complete(
            row.key,
            row.changed,
            state=judgement.state,
            reason=judgement.reason,
            content=content,
            repeats=row.repeats if content == row.content else 0,
            instances=instances,
            model=(rule.model if rule else None) or "",
            destinations=",".join(rule.destinations) if rule else "",
        )
        if changed:
            self.audit.note(
                str(judgement.state), series=row.key, ae=row.caller, instances=instances, reason=judgement.reason
            )

    def _predict(self) -> None:
        result = self.worker.result()
        if result is not None:
            self._finish(result)
        if self.worker.job is not None:
            return
        for row in self.queue.series(State.complete):
            if row.model not in self.configuration.models:
                reason = f"The model {row.model} is not in the configuration any more."
                self.queue.set(row.key, State.failed, unless_changed_from=row.content, reason=reason)
                continue
            if self.queue.set(row.key, State.running, unless_changed_from=row.content):
                self.audit.note("running", series=row.key, model=row.model)
                self.worker.submit(self._job(row))
                return

    def _job(self, row: Series) -> Job:
        model = self.configuration.models[row.model]
        kinds = {kind for name in self._destinations(row) for kind in self.configuration.destinations[name].send}
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

    def _destinations(self, row: Series) -> tuple[str, ...]:
        """Return the names of the series' receivers that the configuration still has."""
        return tuple(name for name in row.destinations.split(",") if name in self.configuration.destinations)

    def _finish(self, result: JobResult) -> None:
        job, row = result.job, self.queue.find(result.job.key)
        if row is None or row.content != job.content or row.state != State.running:
            return  # other instances have arrived; the series is judged again
        if result.died and row.attempts + 1 < _ATTEMPTS:
            self.queue.set(job.key, State.complete, unless_changed_from=job.content, attempts=row.attempts + 1)
            self.audit.note("worker died", series=job.key, reason=result.refused)
        elif result.refused is not None:
            reason = result.refused.replace(str(job.scan), "this series").replace(str(job.out), "the result")
            self._report(job, reason)
            self.queue.set(job.key, State.failed, unless_changed_from=job.content, reason=reason)
            self.audit.note("failed", series=job.key, model=row.model, reason=reason)
        elif self.queue.produced(job.key, job.content, job.version, self._destinations(row), result.seconds):
            self.audit.note(
                "produced",
                series=job.key,
                model=row.model,
                model_sha256=_model_digest(job.out),
                seconds=round(result.seconds, 1),
            )

    def _report(self, job: Job, reason: str) -> None:
        """Write down why a scan has no contours, next to the other results."""
        with atomic_write(job.out.with_name(f"{job.out.name}.{_REPORT}")) as partial:
            partial.write_text(reason + "\n", encoding="utf-8")

    def _deliver(self, delivery: Delivery) -> None:
        destination = self.configuration.destinations.get(delivery.destination)
        if destination is None:
            self.queue.refuse(delivery, f"The destination {delivery.destination} is not in the configuration any more.")
            return
        try:
            files = self._outgoing(delivery, destination.send)
        except WrongIdentity as problem:
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
        folder = write_outgoing(
            self.folder.result(delivery.key, delivery.version),
            self.inbox.files(delivery.key),
            self.folder.outgoing(delivery.key, delivery.version),
            None if REVIEW in delivery.version else self._replaced(delivery),  # a review names it itself
            allow_approved=REVIEW in delivery.version,
        )
        return [folder / FILES[kind] for kind in kinds if (folder / FILES[kind]).is_file()]

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
            for version in self.folder.reviews(row.key, row.version):
                written = self.folder.result(row.key, version)
                names = [name for name in self._destinations(row) if self._has_files(written, name)]
                if self.queue.deliver_review(row.key, version, names):
                    self.audit.note("reviewed", series=row.key, review=version.partition(REVIEW)[2])

    def _has_files(self, result: Path, destination: str) -> bool:
        return any((result / FILES[kind]).is_file() for kind in self.configuration.destinations[destination].send)

    def _delete_old(self) -> None:
        retention, now = self.configuration.retention, time.time()
        for row in self.queue.series(State.sent):
            days = (now - row.changed) / _DAY
            if retention.received_days is not None and days >= retention.received_days and row.instances:
                files = self.inbox.files(row.key)
                is_same = self.inbox.content(row.key) == row.content
                if not is_same or not self.queue.set(
                    row.key, State.sent, unless_changed_from=row.content, instances=0, changed=row.changed
                ):
                    continue  # another instance has arrived
                self.inbox.delete(files)
                self.audit.note("deleted the scan", series=row.key, instances=row.instances)
            if retention.results_days is not None and days >= retention.results_days:
                results = sorted(self.folder.results.glob(f"{row.key}-*"))
                for path in results:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
                if results:
                    self.audit.note("deleted the results", series=row.key)


def _model_digest(result: Path) -> str:
    with suppress(Exception):
        return str(load_json(result / "prediction.json")["model"]["sha256"])
    return ""
