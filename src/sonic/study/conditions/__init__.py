"""Networks to put between clients and a server: a relay that needs no privileges, and the kernel's netem."""

from sonic.study.conditions.line import Conditions
from sonic.study.conditions.relay import Relay

__all__ = ["Conditions", "Relay"]
