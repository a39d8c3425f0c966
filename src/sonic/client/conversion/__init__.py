"""Awkward arrays in and out of a model, by a conversion that is declared once."""

from __future__ import annotations

from sonic.client.conversion.calling import AwkwardModel
from sonic.client.conversion.channels import Clip, Log, Scale
from sonic.client.conversion.declared import Conversion, Laid
from sonic.client.conversion.layouts import Flattened, Padded, Rows

__all__ = ["AwkwardModel", "Clip", "Conversion", "Flattened", "Laid", "Log", "Padded", "Rows", "Scale"]
