from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.errors import ConfigError
from sonic.firmware.build import build
from sonic.firmware.library import compile_library, compiler, load, run_tool
from sonic.firmware.network import Normalisation

if TYPE_CHECKING:
    from sonic.firmware.network import Network
    from sonic.firmware.precision import Precision

# A program as CMS's, which knows the emulator's file, its numbers, and the contract.
PROGRAM = """
#include "defines.h"
#include <algorithm>
#include <any>
#include <cstdio>
#include <dlfcn.h>

namespace hls4mlEmulator {
class Model {
  public:
    virtual void prepare_input(std::any input) = 0;
    virtual void predict() = 0;
    virtual void read_result(std::any result) = 0;
    virtual ~Model() = default;
};
}

int main(int, char **arguments) {
    void *library = dlopen(arguments[1], RTLD_LAZY | RTLD_LOCAL);
    if (!library) { std::puts(dlerror()); return 1; }
    auto create = (hls4mlEmulator::Model * (*)()) dlsym(library, "create_model");
    auto destroy = (void (*)(hls4mlEmulator::Model *))dlsym(library, "destroy_model");
    hls4mlEmulator::Model *model = create();
    auto prepare = (void (*)(const double *, double *, long))dlsym(library, "sonic_prepare");
    double raw[6], prepared[6];
    input_t row[6];
    result_t scores[2];
    while (true) {
        for (auto &number : raw) if (std::scanf("%lf", &number) != 1) { destroy(model); return 0; }
        prepare(raw, prepared, 1);
        std::copy(prepared, prepared + 6, row);
        model->prepare_input(&row[0]);
        model->predict();
        model->read_result(&scores[0]);
        std::printf("%.17g %.17g\\n", scores[0].to_double(), scores[1].to_double());
    }
}
"""


def test_a_trigger_opens_an_emulator(mlp: Network, mixed: Precision, tmp_path: Path) -> None:
    pytest.importorskip("hls4ml")
    if shutil.which("g++") is None:
        pytest.skip("there is no compiler")
    random = np.random.default_rng(1)
    # By a name that the contract has for something else.
    network = replace(mlp, name="y", normalisation=Normalisation(random.normal(size=6), random.normal(size=6)))
    made = build(network, mixed, tmp_path / "mlp", route="hls4ml-vitis")
    assert made.library is not None
    firmware = made.folder / "project" / "firmware"
    (tmp_path / "program.cpp").write_text(PROGRAM)
    program = tmp_path / "program"
    command = [compiler(), "-std=c++17", "-w", f"-I{firmware}", f"-I{firmware / 'ap_types'}", "program.cpp"]
    subprocess.run([*command, "-o", str(program), "-ldl"], cwd=tmp_path, check=True)
    rows = random.normal(size=(50, 6)) * 10
    text = "\n".join(" ".join(map(repr, row)) for row in rows.tolist())
    done = subprocess.run([program, made.library], input=text, capture_output=True, text=True, check=True)
    scores = np.array([line.split() for line in done.stdout.splitlines()], float)
    prepared = network.prepare(rows)
    assert np.array_equal(scores, made.reference(prepared))
    assert np.array_equal(made.emulator()(prepared, 2), scores)


def test_what_does_not_compile(tmp_path: Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("there is no compiler")
    (tmp_path / "a.cpp").write_text("int f() { return nothing; }")
    sources = [Path("a.cpp")]
    with pytest.raises(ConfigError, match=r"liba\.so could not be compiled: .*nothing"):
        compile_library(tmp_path, sources, [], tmp_path / "liba.so")


def test_a_program_that_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sonic.firmware.library.COMPILE_S", 0.01)
    with pytest.raises(ConfigError, match=r"^a\.v: Verilator took longer than 0\.01 s$"):
        run_tool(["sleep", "60"], tmp_path, "a.v: Verilator")


def test_a_library_that_was_replaced_is_loaded_anew(tmp_path: Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("there is no compiler")
    file = tmp_path / "liba.so"
    for number in (1, 2):
        (tmp_path / "a.cpp").write_text(f'extern "C" int number() {{ return {number}; }}')
        compile_library(tmp_path, [Path("a.cpp")], [], Path("liba.so"))
        assert load(file).number() == number
