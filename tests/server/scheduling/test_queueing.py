from __future__ import annotations

from math import inf

from sonic.protocol.modelconfig import parse
from sonic.server.scheduling.policies import BatchPolicy, QueuePolicy
from sonic.server.scheduling.queueing import DEFAULT_MAX_QUEUE, policy_of

BOUNDED = QueuePolicy(max_size=DEFAULT_MAX_QUEUE)


def test_a_queue_is_bounded_by_default() -> None:
    assert policy_of(parse(""), merge=True) == BatchPolicy(queue=BOUNDED)
    assert policy_of(parse(""), merge=True, default_max_queue=0).queue.max_size == 0
    assert DEFAULT_MAX_QUEUE > 0


def test_batching() -> None:
    text = "max_batch_size: 8 dynamic_batching { preferred_batch_size: [ 4 ] max_queue_delay_microseconds: 250 }"
    expected = BatchPolicy(max_rows=8, preferred_rows=(4,), max_delay_s=0.00025, queue=BOUNDED)
    assert policy_of(parse(text), merge=True) == expected
    assert policy_of(parse(text), merge=False) == BatchPolicy(queue=BOUNDED)
    assert policy_of(parse(text.replace("8", "1", 1)), merge=True) == BatchPolicy(queue=BOUNDED)


def test_queue_policies() -> None:
    text = """max_batch_size: 8 dynamic_batching {
        preserve_ordering: true priority_levels: 4 default_priority_level: 3
        default_queue_policy { timeout_action: DELAY default_timeout_microseconds: 1500 max_queue_size: 7 }
        priority_queue_policy { key: 1 value { allow_timeout_override: true } } }"""
    policy = policy_of(parse(text), merge=True, default_max_queue=5)
    assert policy.queue_of(2) == QueuePolicy(timeout_s=0.0015, delays=True, max_size=7)
    assert policy.queue_of(1) == QueuePolicy(timeout_s=inf, allow_override=True, max_size=5)
    assert (policy.levels, policy.default_level, policy.in_order) == (4, 3, True)
