"""Small models of PyTorch, written as files of both kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch")


@pytest.fixture
def linear(torch: Any) -> Callable[[], Any]:
    """``y = x W + b`` times a scale, of 4 and 2 features."""

    class Linear(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(4, 2)

        def forward(self, x, scale):
            return self.layer(x) * scale

    torch.manual_seed(1)
    return lambda: Linear().eval()


@pytest.fixture
def export(torch: Any) -> Callable[..., None]:
    """Write a file of torch.export whose first dimension is free."""

    def write(model: Any, path: Path, *inputs: Any, **named: Any) -> None:
        rows = torch.export.Dim("rows")
        free = tuple({0: rows} for _ in inputs)
        shapes = (*free, *({0: rows} for _ in named))
        torch.export.save(torch.export.export(model, inputs, named, dynamic_shapes=shapes if not named else None), path)

    return write
