from __future__ import annotations

import numpy as np

from sonic.workloads.angles import wrap
from sonic.workloads.tracking.detector import BARREL
from sonic.workloads.tracking.layers import Layer, by_layer


def test_windows_hold_what_a_look_at_every_hit_finds() -> None:
    random = np.random.default_rng(1)
    phi = random.uniform(-np.pi, np.pi, 500)
    layer = Layer(np.arange(500) + 1000, phi, np.zeros(500))
    middle = np.concatenate([random.uniform(-4, 7, 50), [np.pi, -np.pi, 3.1, -3.1]])
    half = random.uniform(0, 0.3, len(middle))
    window, place = layer.near(middle, half)
    for i in range(len(middle)):
        expected = np.flatnonzero(np.abs(wrap(phi - middle[i])) <= half[i])
        assert sorted(layer.hit[place[window == i]] - 1000) == expected.tolist()


def test_every_hit_is_its_own_once() -> None:
    random = np.random.default_rng(2)
    layer = Layer(np.arange(300), random.uniform(-np.pi, np.pi, 300), np.zeros(300))
    assert sorted(layer.hit[layer.own]) == list(range(300))


def test_hits_that_are_taken_or_not_finite_are_left_out() -> None:
    number = np.array([0, 0, 0, 4])
    phi, z_mm = np.array([0.1, np.nan, 0.3, 0.4]), np.array([1.0, 2.0, 3.0, np.inf])
    layers = by_layer(number, phi, z_mm, BARREL, np.array([True, True, False, True]))
    assert len(layers) == len(BARREL)
    assert [len(layer.hit) for layer in layers] == [1] + [0] * 9
    window, place = layers[3].near(np.array([0.0]), 0.5)
    assert len(window) == len(place) == 0
