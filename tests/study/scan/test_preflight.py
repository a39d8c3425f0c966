from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.errors import ConfigError
from sonic.study.scan import preflight
from sonic.study.scan.preflight import check
from sonic.study.scan.spec import parse
from sonic.workloads import zoo

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """
backend: "identity"
max_batch_size: 4
input { name: "x" data_type: TYPE_FP32 dims: [ 2 ] }
output { name: "y" data_type: TYPE_FP32 dims: [ 2 ] }
"""
OURS = 'target = "m"\n[fixed]\nmodels = "models"\n'


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scan")
    for name, config in (("m", CONFIG), ("odd", CONFIG.replace("identity", "tensorflow"))):
        (folder / "models" / name / "1").mkdir(parents=True)
        (folder / "models" / name / "config.pbtxt").write_text(config)
    np.savez(folder / "good.npz", x=np.zeros((3, 2), np.float32))
    np.savez(folder / "other.npz", z=np.zeros((3, 2), np.float32))
    for name in ("events.root", "requests"):
        (folder / name).write_bytes(b"")
    (folder / "broken.py").write_text("1 / 0\n")
    return folder


def _check(text: str, base: Path) -> None:
    spec = parse(text, "mine.toml")
    check(spec, spec.points, base)


@pytest.mark.parametrize(
    "text",
    [
        OURS + "[grid]\nclients = [1, 99]\nrows = [1, 4]",
        OURS + 'input = "good.npz"\n[grid]\nrows = [1, 3]',
        OURS + "batch = 64\nrows = 64",
        'target = "m"\nserver = "grpc://gpu01:8001"\n[fixed]\nrows = 9999',
        'target = ["facile-v5", "particlenet-ak4"]\n[fixed]\nrows = 10',
        'target = "miniaod"\n[fixed]\ninput = "events.root"',
        'target = "miniaod"\n[fixed]\ninput = "root://eos.cern.ch//events.root"',
    ],
)
def test_what_can_be_measured(base: Path, text: str) -> None:
    _check(text, base)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('target = "miniaod"', r": miniaod is a workflow: set input in \[fixed\] or \[grid\] to a file of events"),
        (
            'target = "miniaod"\n[grid]\ninput = ["gone.root"]',
            r", \[grid\]: input is gone.root, and there is no file",
        ),
        (OURS + 'input = "gone.npz"', r", \[fixed\]: input is gone.npz, and there is no file /.*/gone.npz"),
        (OURS + 'input = "other.npz"', ": .*other.npz has no x for m: it has z"),
        (OURS + 'input = "good.npz"\nrows = 4', ": .*good.npz has 3 rows, expected 4 or more"),
        (OURS + "[grid]\ninput = ['requests']\nrows = [1]", r", \[grid\]: rows is of random numbers and tensors"),
        (OURS + 'input = "good.npz"\n[measure]\nshapes.x = [1, 2]', r": shapes in \[measure\] are of random numbers"),
        (OURS + 'input = "events.root"', ": cannot read the recording .*events.root: it is empty"),
        (OURS + "[grid]\nrows = [1, 2, 8]", ": model m takes 4 rows at most; given 8"),
        (OURS + "[grid]\nrows = [1, 2]\nbatch = [1]", ": model m takes 1 rows at most; given 2"),
        (OURS + "[measure]\nshapes.y = [1, 2]", ": unexpected inference input 'y' for model 'm': it has x"),
        (OURS + "[measure]\nshapes.x = [1, 3]", r": input x of m has shape \[-1,2\]; given \[1,3\]"),
        (OURS + 'preferred = "8"', ": configuration of model 'm': .*8"),
        (OURS + "[grid]\nthreads = [1]", r", \[grid\]: threads is for workflows, and m is a model"),
        (OURS + 'backend = "python"', r", \[fixed\]: backend is for networks of the zoo, but models is"),
        (OURS.replace('"m"', '["m", "n"]'), ": .*models has no model n"),
        (OURS.replace('"m"', '"odd"'), ": unknown backend 'tensorflow': one of .*onnxruntime"),
        (OURS.replace('"models"', '"nowhere"'), ": no model repository .*nowhere"),
        ('target = "facile-v7"', ": .*facile-v7"),
        ('target = "facile-v5"\n[fixed]\nwidth = 2', ": facile-v5: trained weights have the width they have"),
        ('target = "facile-v5"\n[fixed]\nrows = 100000', ": model facile-v5 takes [0-9]+ rows at most; given 100000"),
        ('target = "miniaod"\n[fixed]\ninput = "events.root"\nrate = 3', r", \[fixed\]: rate is for models, and"),
        (
            'target = "miniaod"\n[fixed]\ninput = "events.root"\nmodels = "models"',
            r", \[fixed\]: models is /.*/models, which has no .* for miniaod",
        ),
        ('target = "gone.py"\n[fixed]\ninput = "events.root"', ": no workflow file .*gone.py"),
        ('target = "broken.py"\n[fixed]\ninput = "events.root"', ": .*broken.py.*ZeroDivisionError"),
    ],
)
def test_what_cannot(base: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=f"^mine.toml{says}") as caught:
        _check(text, base)
    assert "\n" not in str(caught.value)


def test_a_gpu_that_is_not_there(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "amd_gpus", lambda: 0)
    monkeypatch.setattr(preflight, "nvidia_gpus", lambda: 0)
    with pytest.raises(ConfigError, match=r"mine.toml, \[fixed\]: kind is gpu, and this host has no GPU"):
        _check(OURS + 'kind = "gpu"', base)
    monkeypatch.setattr(preflight, "amd_gpus", lambda: 1)
    _check(OURS + 'kind = "gpu"', base)


def test_packages_that_random_weights_need(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'target = "facile-v5"\n[fixed]\nweights = "random"'
    monkeypatch.setattr(zoo, "find_spec", lambda name: None if name == "onnx" else importlib.util.find_spec(name))
    if importlib.util.find_spec("torch"):
        with pytest.raises(ConfigError, match=r"mine.toml: this needs onnx: pip install 'sonic-hep\[train\]'"):
            _check(text, base)
    monkeypatch.setattr(zoo, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"mine.toml: this needs torch: pip install 'sonic-hep\[train\]'"):
        _check(text, base)


def test_only_points_that_are_left_count(base: Path) -> None:
    spec = parse(OURS + "[grid]\nrows = [1, 8]", "mine.toml")
    check(spec, spec.points[:1], base)
