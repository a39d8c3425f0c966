from __future__ import annotations

import subprocess
import sys

import pytest

from sonic.errors import ConfigError
from sonic.workloads.networks.catalogue import NETWORKS, network

NAMES = [one.name for one in NETWORKS]


def test_names_are_told_apart():
    assert len(set(NAMES)) == len(NAMES)
    assert network("facile-v2").parameters == 36_041 + 188
    with pytest.raises(ConfigError, match="no network 'x': there are particlenet-ak4, deepmet, facile-v2"):
        network("x")


def test_the_list_needs_no_pytorch():
    code = "import sys; import sonic.workloads.networks.catalogue; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", NAMES)
def test_the_published_size(name: str):
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    from sonic.workloads.networks.catalogue import blueprint
    from sonic.workloads.networks.layers import normalisation_count, parameter_count

    entry = network(name)
    with torch.device("meta"):  # counting needs no memory
        built = blueprint(name).make(1.0)
    normalisation = normalisation_count(built)
    assert (parameter_count(built) - normalisation, normalisation) == (entry.weights, entry.normalisation)


# As the literature gives them: with scales, shifts and statistics of normalisations, with those beside, or without.
@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("facile-v2", (36_041, 188)),
        ("facile-v5", (4_787, 184)),
        ("facile-fpga", (981, 120)),
        ("deepcalo", (1_833_745,)),
        ("deepcalo-tiny", (6_857,)),
        ("emtrackmichel", (11_900_420,)),
        ("trackgnn", (44_803,)),
        ("trackgnn-large", (516_993,)),
        ("jet-mlp", (4_389,)),
    ],
)
def test_what_is_published(name: str, published: tuple[int, ...]):
    entry = network(name)
    assert (entry.weights, entry.normalisation)[: len(published)] == published


def test_what_is_published_with_normalisations():
    assert network("particlenet-ak8").parameters == 587_047 - 3  # three constants of the published graph
    assert network("deeptau").parameters == pytest.approx(1.16e6, rel=1e-3)
    assert network("gravnet-oc").parameters == pytest.approx(427e3, rel=1e-3)
    assert network("resnet50").parameters == pytest.approx(25.6e6, rel=5e-3)
