from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sonic.errors import InvalidRequest
from sonic.server.http.answer import Answer
from sonic.server.http.exchange import Exchange, explained
from sonic.server.http.head import read_head


class Owner:
    peer = "192.0.2.7"

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.answers: list[Answer] = []
        self.answered = asyncio.Event()

    def finish(self, exchange: Exchange, answer: Answer) -> None:
        self.answers.append(answer)
        self.answered.set()


def make(loop: asyncio.AbstractEventLoop) -> tuple[Owner, Exchange]:
    owner = Owner(loop)
    return owner, Exchange(owner, read_head(b"GET / HTTP/1.1\r\n\r\n"), memoryview(b"body"))


def test_answers_from_other_threads() -> None:
    async def run() -> list[Answer]:
        owner, exchange = make(asyncio.get_running_loop())
        await asyncio.to_thread(exchange.answer_promptly, Answer(204))
        await asyncio.wait_for(owner.answered.wait(), 10)
        assert bytes(exchange.body) == b""  # or it would be kept for as long as the model's future
        return owner.answers

    assert [answer.status for answer in asyncio.run(run())] == [204]


def test_an_answer_after_the_end_of_the_server_is_dropped() -> None:
    loop = asyncio.new_event_loop()
    owner, exchange = make(loop)
    loop.close()
    exchange.answer_promptly(Answer(200))
    assert owner.answers == []


def test_a_coroutine_answers_with_what_it_returns_or_raises() -> None:
    async def fails(_: Exchange) -> Answer:
        raise InvalidRequest("so")

    async def run() -> Answer:
        owner, exchange = make(asyncio.get_running_loop())
        exchange.run(fails)
        await asyncio.wait_for(owner.answered.wait(), 10)
        return owner.answers[0]

    answer = asyncio.run(run())
    assert (answer.status, answer.parts) == (400, [b'{"error":"so"}'])


def test_a_coroutine_is_cancelled_with_its_request() -> None:
    async def run() -> None:
        owner, exchange = make(asyncio.get_running_loop())
        begun, ended = asyncio.Event(), asyncio.Event()

        async def long(_: Exchange) -> Answer:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
            return Answer(200)

        exchange.run(long)
        await asyncio.wait_for(begun.wait(), 10)
        exchange.abandon()
        await asyncio.wait_for(ended.wait(), 10)
        assert owner.answers == []

    asyncio.run(run())


@pytest.mark.parametrize(("error", "logged"), [(InvalidRequest("so"), False), (KeyError("so"), True)])
def test_only_what_is_unknown_is_logged(error: Exception, logged: bool, caplog: Any) -> None:
    assert explained(error).status == (500 if logged else 400)
    assert ("failed for no reason that is known" in caplog.text) is logged
