from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from sonic.workloads.export import example_inputs  # noqa: E402
from sonic.workloads.networks.layers import NormedConv  # noqa: E402
from sonic.workloads.networks.resnet50 import ResNet, ResNetConfig  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.timeout(300)
def test_exports_give_what_pytorch_gives_also_for_an_image_that_is_not_finite(exported_alike: Callable[..., Any]):
    torch.manual_seed(0)
    shallow = replace(ResNetConfig().times(1 / 32), blocks=(1, 1, 1, 1))
    session = exported_alike("resnet50", ResNet(shallow), rows=(1, 3))
    images = example_inputs("resnet50", 2)["images"]
    images[1, 100, 101, 0] = np.nan
    (scores,) = session.run(None, {"images": images})
    assert np.isnan(scores).tolist() == [[False, False], [True, True]]
    assert scores[0].sum() == pytest.approx(1)


def test_it_has_fifty_layers():
    with torch.device("meta"):
        network = ResNet()
    convolutions = [name for name, m in network.named_modules() if isinstance(m, NormedConv)]
    # One in the stem, three in each of 16 blocks, and one behind all in the original; four shortcuts are not counted.
    assert len([name for name in convolutions if "shortcut" not in name]) + 1 == 50


def test_stages_halve_the_image():
    with torch.device("meta"):
        network = ResNet()
        maps = network.pool(network.stem(torch.zeros(1, 3, 224, 224)))
        shapes = [maps.shape]
        for block in network.stages:
            maps = block(maps)
            shapes.append(maps.shape)
    assert [tuple(shapes[i]) for i in (0, 3, 7, 13, 16)] == [
        (1, 64, 56, 56),
        (1, 256, 56, 56),
        (1, 512, 28, 28),
        (1, 1024, 14, 14),
        (1, 2048, 7, 7),
    ]
