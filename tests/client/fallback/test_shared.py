from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from random import Random
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from sonic.client.fallback import Fallback, shared
from sonic.client.fallback.running import Running
from sonic.client.fallback.shared import SharedFallback, parts
from sonic.errors import Cancelled, ConfigError, ModelFailed, ModelNotFound, Unavailable
from sonic.testing.conformance import WAIT_S
from sonic.testing.transports import FakeTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from threading import Thread

    from sonic.errors import InferenceError


class Life(Running):
    """One life of a fallback that does what the test says, and notes what is loaded and unloaded."""

    def __init__(self, fails: dict[str, InferenceError]) -> None:
        self.way = FakeTransport((), lambda _: {})
        self.way.load = self._load  # type: ignore[attr-defined]
        self.way.unload = lambda model: self.done.put(f"-{model}")  # type: ignore[attr-defined]
        super().__init__(self.way)  # type: ignore[arg-type]
        self.fails = fails
        self.done: SimpleQueue[str] = SimpleQueue()
        self.alive = True
        self.closed = False

    def _load(self, model: str) -> None:
        if model in self.fails:
            raise self.fails[model]
        self.done.put(f"+{model}")

    @property
    def mortal(self) -> bool:
        return True

    def lives(self) -> bool:
        return self.alive

    def obituary(self) -> str:
        return "it was ended by SIGKILL: out of memory"

    def close(self) -> None:
        super().close()
        self.closed = True

    def next(self) -> str:
        return self.done.get(timeout=WAIT_S)


class Lives:
    """What is launched, in place of :func:`sonic.client.fallback.running.launch`."""

    def __init__(self) -> None:
        self.all: list[Life] = []
        self.outcomes: list[Exception] = []
        self.fails: dict[str, InferenceError] = {}

    def __call__(self, fallback: Fallback, stop: Event, share: object) -> Life:
        if self.outcomes:
            raise self.outcomes.pop(0)
        self.all.append(Life(self.fails))
        return self.all[-1]


@pytest.fixture
def lives(monkeypatch: pytest.MonkeyPatch) -> Lives:
    lives = Lives()
    monkeypatch.setattr(shared, "launch", lives)
    return lives


@pytest.fixture
def spare(tmp_path: Path, lives: Lives) -> Iterator[SharedFallback]:
    fallback = SharedFallback(Fallback(str(tmp_path), "child", restarts=2, restart_pause_s=0.0))
    yield fallback
    fallback.close()


def reach(spare: SharedFallback, model: str = "m", user: str = "a") -> Running:
    return spare.reach(model, user).result(WAIT_S)


def error_of(spare: SharedFallback, model: str = "m", user: str = "a") -> BaseException | None:
    return spare.reach(model, user).exception(WAIT_S)


def test_it_starts_once_and_loads_what_is_asked_for(spare: SharedFallback, lives: Lives) -> None:
    assert lives.all == []
    assert reach(spare) is reach(spare, "m", "b") is reach(spare, "n") is lives.all[0]
    assert [lives.all[0].next() for _ in range(2)] == ["+m", "+n"]
    assert len(lives.all) == 1


def test_a_model_is_unloaded_with_its_last_user(spare: SharedFallback, lives: Lives) -> None:
    for user in "ab":
        reach(spare, "m", user)
    reach(spare, "n", "b")
    (life,) = lives.all
    spare.release("m", "a")
    spare.release("m", "a")
    spare.release("absent", "a")
    spare.release("m", "b")
    assert [life.next() for _ in range(3)] == ["+m", "+n", "-m"]
    reach(spare, "m", "c")
    assert life.next() == "+m"
    spare.leave("b")
    assert life.next() == "-n"
    assert life.done.empty()


def test_a_model_that_is_used_again_before_it_is_unloaded_stays(spare: SharedFallback, lives: Lives) -> None:
    reach(spare, "m", "a")
    with spare._work:  # so that the unloading waits
        spare.release("m", "a")
        again = spare.reach("m", "b")
    assert again.result(WAIT_S)
    spare.release("m", "b")
    assert [lives.all[0].next() for _ in range(2)] == ["+m", "-m"]


def test_a_model_that_is_let_go_before_its_turn_to_be_loaded_is_not_loaded(
    spare: SharedFallback, lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    reach(spare, "n")
    tasks: list[Callable[[], object]] = []
    with monkeypatch.context() as later:
        later.setattr(spare.workers, "run", lambda task: (tasks.append(task), True)[1])
        reached = spare.reach("m", "a")
        spare.release("m", "a")
    load, unload = tasks
    for task in (unload, load):  # they take their turns in any order
        task()
    assert isinstance(reached.exception(WAIT_S), Cancelled)
    assert lives.all[0].next() == "+n"
    assert lives.all[0].done.empty()


def test_the_parts_of_an_ensemble_are_counted(spare: SharedFallback, lives: Lives, tmp_path: Path) -> None:
    step = 'ensemble_scheduling {{ step [ {} ] }} platform: "ensemble"'
    for name, of in {"all": ("some", "c"), "some": ("a", "b"), "other": ("b",)}.items():
        (tmp_path / name).mkdir()
        steps = ", ".join(f'{{ model_name: "{one}" model_version: -1 }}' for one in of)
        (tmp_path / name / "config.pbtxt").write_text(step.format(steps))
    assert parts(str(tmp_path), "all") == ("a", "b", "some", "c")
    assert parts(str(tmp_path), "a") == ()
    reach(spare, "all", "u")
    reach(spare, "other", "u")
    reach(spare, "a", "v")
    (life,) = lives.all
    assert [life.next() for _ in range(6)] == ["+a", "+b", "+some", "+c", "+all", "+other"]
    spare.release("all", "u")
    assert [life.next() for _ in range(3)] == ["-all", "-c", "-some"]
    spare.leave("v")
    assert life.next() == "-a"
    spare.leave("u")
    assert [life.next() for _ in range(2)] == ["-other", "-b"]


def test_models_made_of_each_other_end_in_what_the_server_says(tmp_path: Path) -> None:
    for name, of in {"x": "y", "y": "x"}.items():
        (tmp_path / name).mkdir()
        text = f'ensemble_scheduling {{ step [ {{ model_name: "{of}" model_version: -1 }} ] }}'
        (tmp_path / name / "config.pbtxt").write_text(text)
    assert parts(str(tmp_path), "x") == ("y",)


@pytest.mark.parametrize(
    ("cause", "kind"),
    [(ModelNotFound("none here"), ModelNotFound), (ModelFailed("no weights"), ModelFailed)],
)
def test_a_model_that_cannot_be_loaded(
    spare: SharedFallback, lives: Lives, cause: InferenceError, kind: type[InferenceError]
) -> None:
    lives.fails["m"] = cause
    error = error_of(spare)
    assert type(error) is kind
    assert str(error) == f"fallback {spare.fallback.url}: model 'm' cannot be loaded: {cause}"
    assert reach(spare, "n")
    # It is tried again not by each request, but when it is used anew.
    del lives.fails["m"]
    assert error_of(spare) is error
    spare.release("m", "a")
    assert reach(spare)


def test_the_parts_of_a_model_that_cannot_be_loaded_do_not_stay(
    spare: SharedFallback, lives: Lives, tmp_path: Path
) -> None:
    (tmp_path / "m").mkdir()
    step = 'ensemble_scheduling { step [ { model_name: "a" model_version: -1 } ] }'
    (tmp_path / "m" / "config.pbtxt").write_text(step)
    lives.fails["m"] = ModelFailed("no")
    assert isinstance(error_of(spare), ModelFailed)
    assert [lives.all[0].next() for _ in range(2)] == ["+a", "-a"]


def test_one_that_dies_is_started_again_with_what_is_asked_for(spare: SharedFallback, lives: Lives) -> None:
    first = reach(spare)
    reach(spare, "n")
    assert not spare.lost(first)
    lives.all[0].alive = False
    assert spare.lost(first)
    assert lives.all[0].closed
    assert spare.lost(first)  # whoever says so later
    second = reach(spare)
    assert second is lives.all[1] is not first
    assert (lives.all[1].next(), lives.all[1].done.empty()) == ("+m", True)
    spare.release("n", "a")  # which the second does not have
    spare.release("m", "a")
    assert lives.all[1].next() == "-m"


def test_a_death_that_two_find_out_at_once_is_one(
    spare: SharedFallback, lives: Lives, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first = reach(spare)
    lives.all[0].alive = False

    def ask_another() -> bool:
        monkeypatch.delattr(first, "lives")
        assert spare.lost(first)
        return False

    monkeypatch.setattr(first, "lives", ask_another)
    assert spare.lost(first)
    assert [record.message.count("died: it was ended by SIGKILL") for record in caplog.records] == [1]


def test_one_that_keeps_dying_is_given_up(spare: SharedFallback, lives: Lives) -> None:
    for _ in range(3):
        running = reach(spare)
        lives.all[-1].alive = False
        assert spare.lost(running)
    for _ in range(2):
        error = error_of(spare)
        assert isinstance(error, Unavailable)
        assert str(error) == (
            f"fallback {spare.fallback.url} failed 3 times and is not started again: "
            "it died: it was ended by SIGKILL: out of memory"
        )
    assert len(lives.all) == 3


def test_one_that_dies_while_it_loads(spare: SharedFallback, lives: Lives) -> None:
    lives.fails["m"] = Unavailable("connection lost")
    lives.__class__ = Dying
    assert "failed 3 times" in str(error_of(spare))
    assert len(lives.all) == 3


class Dying(Lives):
    def __call__(self, fallback: Fallback, stop: Event, share: object) -> Life:
        life = super().__call__(fallback, stop, share)
        life.alive = False
        return life


def test_starts_that_fail_count_too(spare: SharedFallback, lives: Lives) -> None:
    lives.outcomes = [Unavailable("no memory"), Unavailable("no memory")]
    url = spare.fallback.url
    assert str(error_of(spare)) == f"fallback {url} could not be started: no memory"
    assert str(error_of(spare)) == f"fallback {url} could not be started: no memory"
    running = reach(spare)
    lives.all[0].alive = False
    assert spare.lost(running)
    assert "failed 3 times and is not started again" in str(error_of(spare))


def test_what_makes_no_sense_is_said(spare: SharedFallback, lives: Lives) -> None:
    lives.outcomes = [ConfigError("no engine")]
    error = error_of(spare)
    assert isinstance(error, Unavailable)
    assert str(error) == f"fallback {spare.fallback.url} cannot be started: no engine"


def test_a_process_without_threads_to_spare_asks_again_the_next_time(
    spare: SharedFallback, lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_more(_: Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as full:
        full.setattr("threading.Thread.start", no_more)
        error = error_of(spare)
        assert isinstance(error, Unavailable)
        assert str(error) == f"fallback {spare.fallback.url} can start no thread"
    assert reach(spare) is lives.all[0]


def test_the_end(spare: SharedFallback, lives: Lives) -> None:
    running = reach(spare)
    with spare._work:
        waiting = spare.reach("n", "a")
        closed = Event()

        def close() -> None:
            spare.close()
            closed.set()

        spare.workers.run(close)
        assert isinstance(waiting.exception(WAIT_S), Cancelled)
    assert closed.wait(WAIT_S)
    assert lives.all[0].closed
    assert isinstance(error_of(spare), Cancelled)
    assert not spare.lost(running)


def test_a_start_that_is_under_way_at_the_end(spare: SharedFallback, lives: Lives, monkeypatch: Any) -> None:
    begun = Event()

    def launch(_: Fallback, stop: Event, share: object) -> Life:
        begun.set()
        assert stop.wait(WAIT_S)
        lives.all.append(Life({}))
        return lives.all[0]

    monkeypatch.setattr(shared, "launch", launch)
    reached = spare.reach("m", "a")
    assert begun.wait(WAIT_S)
    spare.close()
    assert isinstance(reached.exception(WAIT_S), Cancelled)
    assert lives.all[0].closed


def test_no_model_goes_while_it_is_used(spare: SharedFallback, lives: Lives, monkeypatch: Any) -> None:
    loaded: set[str] = set()

    class Strict(Life):
        def __init__(self, fails: dict[str, InferenceError]) -> None:
            super().__init__(fails)
            self.way.unload = loaded.remove  # type: ignore[attr-defined]

        def _load(self, model: str) -> None:
            assert model not in loaded
            loaded.add(model)

    monkeypatch.setattr(shared, "launch", lambda *_: Strict({}))

    def use(user: int) -> None:
        random = Random(user)
        for _ in range(100):
            model = random.choice("mno")
            spare.reach(model, user).result(WAIT_S)
            assert model in loaded
            spare.release(model, user)

    with ThreadPoolExecutor(6) as pool:
        for ended in [pool.submit(use, user) for user in range(6)]:
            ended.result(WAIT_S)
    for model in "mno":  # what is released last is unloaded in the background
        reach(spare, model, "last")
        spare.release(model, "last")
    end_s = monotonic() + WAIT_S
    while loaded:
        assert monotonic() < end_s
