"""Models of PyTorch: TorchScript (``model.pt``) and ``torch.export`` (``model.pt2``). Needs the extra ``torch``."""

from __future__ import annotations

from sonic.server.backends.torch.backend import TorchBackend

__all__ = ["TorchBackend"]
