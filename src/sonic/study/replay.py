"""Recorded requests, sent again: as they came, at another pace, or as fast as so many clients can."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from threading import Condition
from typing import TYPE_CHECKING

import numpy as np
from msgspec.structs import replace

from sonic.client.promise import failure_of
from sonic.client.url import connect, parse_server
from sonic.errors import ConfigError, DeadlineExceeded, InferenceError, SonicError
from sonic.protocol.tensors import same_bits
from sonic.study.load.engine import MOST_UNDER_WAY
from sonic.study.load.inputs import rows_of
from sonic.study.load.schedule import LATE_S
from sonic.study.load.server import ServerWatch, identity
from sonic.study.load.tally import Tally
from sonic.study.machine import this_machine, utc_now
from sonic.study.records import Estimate, Record
from sonic.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future

    from numpy.typing import NDArray

    from sonic.client.transport import Transport
    from sonic.protocol.messages import InferRequest, InferResponse
    from sonic.specs import ModelSpec
    from sonic.study.load.server import Sample
    from sonic.study.recording import Recording
    from sonic.study.records import Setting, Status


@dataclass(frozen=True, kw_only=True)
class Pace:
    """When the requests are sent.

    Parameters
    ----------
    speed : float
        As they were recorded, so many times quicker.
    rate : float or None
        So many a second instead, evenly.
    clients : int or None
        As fast as so many clients can instead, each of which waits for its answer.
    repeats : int
        How often the recording is gone through.
    timeout_s : float
        After which a request has failed, in seconds.

    Raises
    ------
    ConfigError
        If a value makes no sense.
    """

    speed: float = 1.0
    rate: float | None = None
    clients: int | None = None
    repeats: int = 1
    timeout_s: float = 30.0

    def __post_init__(self) -> None:
        if self.rate is not None and self.clients is not None:
            raise ConfigError("a rate and a number of clients exclude each other")
        if self.speed != 1 and (self.rate is not None or self.clients is not None):
            raise ConfigError(
                "speed is of the times that were recorded: neither a rate nor a number of clients has any"
            )
        for name in ("speed", "rate", "timeout_s"):
            given = getattr(self, name)
            if given is not None and not 0 < given < 1e9:
                raise ConfigError(f"{name} is above zero, below 1e9; given {given:g}")
        for name in ("clients", "repeats"):
            given = getattr(self, name)
            if given is not None and given < 1:
                raise ConfigError(f"{name} is 1 or more; given {given}")

    def due_s(self, recorded_s: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """Return when each request is due, in seconds since the begin; None: when a client is free.

        Parameters
        ----------
        recorded_s : float64 array [requests]
            From the first on.

        Returns
        -------
        float64 array [requests * repeats] or None
        """
        if self.clients is not None:
            return None
        if self.rate is not None:
            return np.arange(len(recorded_s) * self.repeats) / self.rate
        # From the last to the first of the next time as long as from one to the next in the mean.
        period_s = recorded_s[-1] * len(recorded_s) / max(len(recorded_s) - 1, 1)
        starts_s = np.arange(self.repeats)[:, None] * period_s
        due_s: NDArray[np.float64] = (starts_s + recorded_s).ravel() / self.speed
        return due_s

    def said(self) -> dict[str, Setting]:
        """Return what a record says of it."""
        if self.clients is not None:
            return {"clients": self.clients}
        return {"speed": self.speed} if self.rate is None else {"rate": self.rate, "arrivals": "constant"}


def replay(
    recording: Recording,
    server: str,
    pace: Pace | None = None,
    *,
    compare: str = "",
    progress: Callable[[int, int], None] | None = None,
) -> list[Record]:
    """Send recorded requests to a server.

    Parameters
    ----------
    recording : Recording
    server : str
        Its URL.
    pace : Pace, optional
        By default as they were recorded.
    compare : str
        URL of another server, which is sent each request too, once the first has answered it: ``details`` then say of
        how many answers (``compared``) how many had other bits (``different``), and how many requests that server did
        not answer (``unanswered``).
    progress : callable, optional
        Called with the number of requests sent and of all.

    Returns
    -------
    list of Record
        One for each model, of one window from the first request to the last answer.

    Raises
    ------
    ConfigError
        If an URL makes no sense.
    """
    pace = pace or Pace()
    addresses = [parse_server(url) for url in (server, compare) if url]
    started = utc_now()
    tallies = {model: _Tally() for model in recording.models}
    versions = {"sonic": __version__, "python": sys.version.split()[0]}
    specs: dict[str, ModelSpec] = {}
    status: Status = "measured"
    reason = ""
    before: dict[str, Sample | None] = {}
    after: dict[str, Sample | None] = {}
    watches: dict[str, ServerWatch] = {}
    took_s = 0.0
    try:
        with ExitStack() as stack:
            ways = [connect(address) for address in addresses]
            for way in ways:
                stack.callback(way.close)
            if not ways[0].ready(timeout_s=pace.timeout_s):
                raise SonicError(f"{server} takes no requests")
            versions["server"] = identity(addresses[0])
            for model in tallies:
                with suppress(InferenceError):  # which its requests end in too
                    specs[model] = ways[0].model_spec(model, timeout_s=pace.timeout_s)
                watches[model] = stack.enter_context(ServerWatch(ways[0], addresses[0], [model]))
            before = {model: watch.sample() for model, watch in watches.items()}
            player = _Player(recording, ways, pace, tallies, specs)
            try:
                player.play(progress)
            finally:
                took_s = player.took_s
                for tally in tallies.values():
                    tally.duration_s = took_s
            after = {model: watch.sample() for model, watch in watches.items()}
    except SonicError as error:
        status, reason = "failed", str(error)
    except KeyboardInterrupt:
        status, reason = "interrupted", "by Ctrl-C"
    known = {"protocol": addresses[0].scheme, "input": "recorded"} | pace.said()
    machine = this_machine()
    return [
        Record(
            target=model,
            settings=known,
            status=tally.status(status),
            reason=reason or tally.error,
            started=started,
            machine=machine,
            versions={name: told for name, told in (versions | {"platform": _platform(specs, model)}).items() if told},
            throughput=Estimate(tally.requests / took_s) if took_s else None,
            row_rate=Estimate(tally.rows / took_s) if took_s else None,
            latencies=tally.latencies.latencies(),
            windows=(tally.window(watches[model].window(before[model], after.get(model))),) if took_s else (),
            details=tally.comparison() if compare else {},
        )
        for model, tally in tallies.items()
    ]


@dataclass(slots=True)
class _Tally(Tally):
    compared: int = 0
    different: int = 0
    unanswered: int = 0

    def comparison(self) -> dict[str, float]:
        return {name: float(getattr(self, name)) for name in ("compared", "different", "unanswered")}

    def status(self, whole: Status) -> Status:
        return "failed" if whole == "measured" and self.errors and not self.requests else whole


class _Player:
    """Sends, in the thread that calls; answers are counted in whatever thread brings them."""

    def __init__(
        self,
        recording: Recording,
        ways: list[Transport],
        pace: Pace,
        tallies: dict[str, _Tally],
        specs: Mapping[str, ModelSpec],
    ) -> None:
        self._recording = recording
        self._way, self._other = ways[0], ways[1] if len(ways) > 1 else None
        self._pace = pace
        self._tallies = tallies
        self._specs = specs
        self._most = pace.clients or MOST_UNDER_WAY
        self._free = Condition()
        self._under_way = 0
        self._begun_s = 0.0
        self._ended_s = 0.0
        self._interrupted = False

    @property
    def took_s(self) -> float:
        """From the first request to the last answer so far."""
        return max(0.0, self._ended_s - self._begun_s)

    def play(self, progress: Callable[[int, int], None] | None) -> None:
        """Send all, and wait for the last answer.

        Raises
        ------
        DeadlineExceeded
            If the server does not answer any more.
        """
        try:
            self._play(progress)
        except KeyboardInterrupt:
            with self._free:
                self._interrupted = True  # what is cancelled now has not failed
            raise

    def _play(self, progress: Callable[[int, int], None] | None) -> None:
        due_s = self._pace.due_s(self._recording.due_s)
        count = len(self._recording) * self._pace.repeats
        self._begun_s = self._ended_s = time.monotonic()
        for i in range(count):
            request = replace(self._recording[i % len(self._recording)], timeout_s=self._pace.timeout_s)
            at_s = None if due_s is None else self._begun_s + float(due_s[i])
            if at_s is not None and (left_s := at_s - time.monotonic()) > 0:
                time.sleep(left_s)
            self._await(self._most - 1)
            now_s = time.monotonic()
            with self._free:
                self._under_way += 1
                if at_s is not None and now_s - at_s > LATE_S:
                    self._tallies[request.model].late += 1
            sent = self._way.submit(request)
            sent.add_done_callback(partial(self._answered, request, now_s if at_s is None else at_s))
            if progress is not None:
                progress(i + 1, count)
        self._await(0)

    def _await(self, most: int) -> None:
        """Wait until no more than so many are under way."""
        limit_s = self._pace.timeout_s + 1.0  # the transport's own limit comes first, if it has one
        with self._free:
            if not self._free.wait_for(lambda: self._under_way <= most, limit_s):
                raise DeadlineExceeded(f"{self._way.url}: {self._under_way} requests had no answer in {limit_s:g} s")

    def _answered(self, request: InferRequest, due_s: float, future: Future[InferResponse]) -> None:
        now_s = time.monotonic()
        failure = failure_of(future)
        tally = self._tallies[request.model]
        with self._free:
            if self._interrupted:
                return
            self._ended_s = max(self._ended_s, now_s)
            if failure is None:
                tally.requests += 1
                spec = self._specs.get(request.model)
                tally.rows += rows_of(request, spec) if spec is not None else 1
                tally.bytes_sent += sum(array.nbytes for array in request.inputs.values())
                tally.bytes_received += sum(array.nbytes for array in future.result().outputs.values())
                tally.latencies.add([now_s - due_s])
            else:
                tally.errors += 1
                tally.error = tally.error or str(failure)
        if failure is None and self._other is not None:
            theirs = self._other.submit(request)
            theirs.add_done_callback(partial(self._compared, tally, future.result()))
        else:
            self._leave()

    def _compared(self, tally: _Tally, ours: InferResponse, theirs: Future[InferResponse]) -> None:
        failure = failure_of(theirs)
        with self._free:
            if self._interrupted:
                return
            if failure is not None:
                tally.unanswered += 1
                tally.error = tally.error or str(failure)
            else:
                tally.compared += 1
                tally.different += not _same(ours, theirs.result())
        self._leave()

    def _leave(self) -> None:
        with self._free:
            self._under_way -= 1
            self._free.notify_all()


def _platform(specs: Mapping[str, ModelSpec], model: str) -> str:
    return specs[model].platform if model in specs else ""


def _same(one: InferResponse, other: InferResponse) -> bool:
    """Whether outputs have the same names, datatypes, shapes and bits."""
    if one.outputs.keys() != other.outputs.keys():
        return False
    return all(same_bits(array, other.outputs[name]) for name, array in one.outputs.items())
