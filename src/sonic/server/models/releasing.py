"""Let models go, once the requests that they have are answered."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sonic.server.machine.memory import give_back

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sonic.server.models.model import ServedModel

log = logging.getLogger("sonic.server")


def release(models: Sequence[ServedModel], drain_s: float = 30.0) -> None:
    """Stop models, wait at most `drain_s` seconds for each to answer what it has, and close them."""
    for model in models:
        model.stop()  # or a request that has just been given to it would be cut off below
    for model in models:
        if not model.drain(drain_s) and drain_s:
            log.warning("model %r version %s: not all requests ended", model.spec.name, model.spec.version)
        model.close()
    if models:
        give_back()
