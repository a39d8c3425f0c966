from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sonic.workloads.hcal.nnls import cholesky, forward, nnls, solve_spd

optimize = pytest.importorskip("scipy.optimize")


def problems(seed: int, number: int, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    scale = 10 ** random.uniform(-2, 2, (number, 1, columns))
    return random.normal(size=(number, rows, columns)) * scale, random.normal(size=(number, rows))


def normal(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.einsum("fri,frj->ijf", a, a), np.einsum("fri,fr->if", a, b)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 8), st.integers(0, 3))
def test_solutions_are_scipys(seed: int, columns: int, more: int) -> None:
    a, b = problems(seed, 20, columns + more, columns)
    matrix, vector = normal(a, b)
    condition = np.linalg.cond(a / np.linalg.norm(a, axis=1, keepdims=True))
    x, converged = nnls(matrix, vector)
    assert converged.all()
    assert (x >= 0).all()
    for i in range(20):
        expected, least = optimize.nnls(a[i], b[i])
        found = float(np.linalg.norm(a[i] @ x[:, i] - b[i]))
        assert found == pytest.approx(least, rel=1e-6, abs=1e-6)
        if condition[i] < 1e3:
            size = np.linalg.norm(a[i], axis=0)
            assert x[:, i] * size == pytest.approx(expected * size, abs=1e-6)


def test_where_it_starts_does_not_matter() -> None:
    a, b = problems(1, 300, 8, 8)
    matrix, vector = normal(a, b)
    start = np.random.default_rng(2).exponential(size=vector.shape) * (np.arange(8) % 2)[:, None]
    assert nnls(matrix, vector, start).x == pytest.approx(nnls(matrix, vector).x, rel=1e-5, abs=1e-8)


def test_a_fit_is_the_same_to_the_bit_in_any_company() -> None:
    matrix, vector = normal(*problems(3, 100, 8, 8))
    together = nnls(matrix, vector).x
    for i in (0, 17, 99):
        assert (nnls(matrix[..., i : i + 1], vector[:, i : i + 1]).x[:, 0] == together[:, i]).all()
    assert (nnls(matrix[..., ::-1], vector[:, ::-1]).x[:, ::-1] == together).all()


def test_single_precision_ends_too() -> None:
    matrix, vector = normal(*problems(4, 500, 12, 8))
    x, converged = nnls(matrix.astype(np.float32), vector.astype(np.float32))
    assert x.dtype == np.float32
    assert converged.mean() > 0.99
    size = np.sqrt(np.einsum("iif->if", matrix))
    assert x * size == pytest.approx(nnls(matrix, vector).x * size, abs=1e-3)


def test_nothing_to_solve_and_too_little_time() -> None:
    matrix, vector = normal(*problems(5, 50, 8, 8))
    assert nnls(matrix[..., :0], vector[:, :0]).x.shape == (8, 0)
    assert not nnls(matrix, vector, max_steps=1).converged.all()
    assert (nnls(matrix, -np.abs(vector)).x == 0).all()


def test_triangles_solve_what_numpy_solves() -> None:
    matrix, vector = normal(*problems(6, 10, 9, 5))
    lower = cholesky(matrix)
    for i in range(10):
        assert lower[..., i] == pytest.approx(np.linalg.cholesky(matrix[..., i]))
        assert solve_spd(matrix, vector)[:, i] == pytest.approx(np.linalg.solve(matrix[..., i], vector[:, i]))
        assert forward(lower, matrix)[..., i] == pytest.approx(lower[..., i].T)
    assert np.isnan(cholesky(-matrix)).any()
