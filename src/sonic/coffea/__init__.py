"""Models in coffea's processors, for classes that were written for its ``triton_wrapper``.

:class:`TritonWrapper` takes the same URL and arguments and is subclassed in the same way, so that such a class moves
over by its base class alone. coffea itself is not imported.
"""

from __future__ import annotations

from sonic.client.shared import disconnect
from sonic.coffea.wrapper import TritonWrapper

__all__ = ["TritonWrapper", "disconnect"]
