from __future__ import annotations

from sonic.monitor.rates import Counters, Scrape
from sonic.monitor.watch import KEPT, Watch


def scrape(**success: int) -> Scrape:
    return Scrape({(name, "1"): Counters(success=count) for name, count in success.items()})


def test_rates_come_with_the_second_answer() -> None:
    watch = Watch()
    assert watch.answered(scrape(a=1), 10.0).models is None
    screen = watch.answered(scrape(a=7), 12.0)
    assert screen.models is not None
    assert screen.models[0].requests_per_s == 3.0
    assert screen.past == {("a", "1"): (3.0,)}
    assert (screen.trouble, screen.silent_s) == ("", 0.0)


def test_the_past_is_bounded_and_forgets_models_that_are_gone() -> None:
    watch = Watch()
    for second in range(2 * KEPT):
        screen = watch.answered(scrape(a=second, b=0), float(second))
    assert len(screen.past["a", "1"]) == KEPT
    assert set(watch.answered(scrape(b=0), 2.0 * KEPT).past) == {("b", "1")}


def test_while_there_is_no_answer_the_last_numbers_stay() -> None:
    watch = Watch()
    watch.answered(scrape(a=0), 0.0)
    shown = watch.answered(scrape(a=5), 1.0)
    for now_s in (3.0, 5.0):
        screen = watch.failed("connection refused", now_s)
        assert screen.models == shown.models
        assert (screen.trouble, screen.silent_s) == ("connection refused", now_s - 1.0)
    back = watch.answered(scrape(a=1), 100.0)
    assert (back.models, back.trouble) == (shown.models, "")
    after = watch.answered(scrape(a=3), 101.0)
    assert after.models is not None
    assert after.models[0].requests_per_s == 2.0


def test_no_answer_from_the_start() -> None:
    watch = Watch()
    assert watch.failed("no", 5.0).silent_s == 0.0
    screen = watch.failed("no", 7.0)
    assert (screen.silent_s, screen.models, screen.last) == (2.0, None, None)


def test_two_answers_at_once_are_no_interval() -> None:
    watch = Watch()
    watch.answered(scrape(a=0), 1.0)
    assert watch.answered(scrape(a=5), 1.0).models is None
