from __future__ import annotations

from sonic.server.scheduling.turn import Turn


def gathered(turn: Turn, *requests: int) -> list[int]:
    """Return how many requests of each turn of the loop waited for its end."""
    waited = []
    for count in requests:
        joined = 0
        for _ in range(count):
            if turn.pays:
                assert turn.join(10) is (joined == 0)
                joined += 1
                assert (turn.open, turn.n_bytes) == (True, 10 * joined)
            else:
                turn.miss()
        assert turn.called() is (joined > 0)
        turn.end()
        assert (turn.open, turn.n_bytes) == (False, 0)
        waited.append(joined)
    return waited


def test_requests_that_come_together_wait_for_each_other() -> None:
    assert gathered(Turn(), 5, 3, 1, 16) == [5, 3, 1, 16]


def test_one_that_always_comes_alone_soon_waits_no_more_but_tries_again() -> None:
    waited = gathered(Turn(), *[1] * 1000)
    assert all(waited[:16])
    assert 0 < sum(waited[16:]) < 30


def test_company_is_found_again() -> None:
    turn = Turn()
    gathered(turn, *[1] * 500)
    waited = gathered(turn, *[4] * 100)
    assert sum(waited) > 4 * 80
    assert waited[-1] == 4


def test_a_loop_that_will_call_is_not_asked_again() -> None:
    turn = Turn()
    assert turn.join(10)
    turn.end()  # others have seen to it before the loop could
    assert not turn.join(10)
    assert turn.called()
    assert turn.ask()  # since it is too early
    assert not turn.join(10)
    assert (turn.called(), turn.n_bytes) == (True, 20)
    turn.end()
    assert turn.join(10)
