"""How a model's requests wait: what its configuration says, as a :class:`BatchPolicy`."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING

from sonic.protocol.proto.model_config_pb2 import ModelQueuePolicy
from sonic.server.scheduling.policies import BatchPolicy, QueuePolicy

if TYPE_CHECKING:
    from sonic.protocol.proto.model_config_pb2 import ModelConfig

DEFAULT_MAX_QUEUE = 1024
"""Requests that may wait for a model whose owner sets no ``max_queue_size``.

Enough for some hundred jobs that keep a few requests in flight each, and little enough that what waits is served while
somebody still wants it: at 1,000 requests/s it is one second.
"""


def policy_of(config: ModelConfig, *, merge: bool, default_max_queue: int = DEFAULT_MAX_QUEUE) -> BatchPolicy:
    """Return how requests of a model wait and go together.

    Parameters
    ----------
    config : ModelConfig
        Completed.
    merge : bool
        Whether its backend lets requests share an execution.
    default_max_queue : int
        Bound of a queue for which the configuration gives none; 0: no bound.
    """
    batching = config.dynamic_batching
    queue = _queue(batching.default_queue_policy, default_max_queue)
    levels = max(1, batching.priority_levels)
    policy = BatchPolicy(
        queue=queue,
        queues={level: _queue(own, default_max_queue) for level, own in batching.priority_queue_policy.items()},
        levels=levels,
        default_level=batching.default_priority_level or 1,
        in_order=batching.preserve_ordering,
    )
    if not config.HasField("dynamic_batching") or not merge or config.max_batch_size < 2:
        return policy
    return replace(
        policy,
        max_rows=config.max_batch_size,
        preferred_rows=tuple(batching.preferred_batch_size),
        max_delay_s=batching.max_queue_delay_microseconds / 1e6,
    )


def _queue(policy: ModelQueuePolicy, default_max_queue: int) -> QueuePolicy:
    return QueuePolicy(
        timeout_s=policy.default_timeout_microseconds / 1e6 or inf,
        delays=policy.timeout_action == ModelQueuePolicy.DELAY,
        allow_override=policy.allow_timeout_override,
        max_size=policy.max_queue_size or default_max_queue,
    )
