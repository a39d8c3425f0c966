# One word a task. Everything runs in the virtual environment .venv, which the first task that needs it sets up.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check -q
# A CPU build of PyTorch for the tests and the training; set TORCH= to keep one that is installed already.
TORCH  ?= torch==2.13.0

# Of fuzzing: for each target, and which.
FUZZ_SECONDS ?= 60
FUZZ ?=

.PHONY: demo test check fuzz bench bench-workloads bench-server bench-peers soak faults study gallery tables docs docs-serve proto train wheel compiled test-compiled format clean help

help:           ## this list
	@grep -hE '^[a-z-]+: .*##|^[a-z-]+:  *##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("Sonic needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 ...") if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv $(VENV)

# A stamp a set of extras: installed again only when pyproject.toml changes.
$(VENV)/.demo: $(BIN)/python pyproject.toml
	$(PIP) install -e '.[plots]'
	@touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml
	$(if $(TORCH),$(PIP) install '$(TORCH)')
	$(PIP) install --only-binary pythia8mc,fastjet -e '.[dev,plots,parquet,train,firmware,rtl,bdt,study]'
	@touch $@

$(VENV)/.fuzz: $(VENV)/.dev
	$(PIP) install -e '.[fuzz]'
	@touch $@

# KServe holds some packages back: give it an environment of its own, VENV=.venv-dropin, where that matters.
$(VENV)/.dropin: $(BIN)/python pyproject.toml
	$(if $(TORCH),$(PIP) install '$(TORCH)')
	$(PIP) install -e '.[dev,torch,dropin]'
	-$(PIP) install 'perf-analyzer>=2'   # which not every system can run
	@touch $@

$(VENV)/.docs: $(BIN)/python pyproject.toml
	$(PIP) install -e '.[docs]'
	@touch $@

demo: $(VENV)/.demo      ## real CMS events through miniaod, direct and as a service, compared; results in demo/
	$(BIN)/python demo/demo.py

# Two processes: more would be in each other's way where servers and kills are timed. TESTS=tests/client for some of them.
TESTS ?=
test: check              ## every check and every test
	$(BIN)/python -m pytest -n 2 --dist loadfile $(TESTS)

.PHONY: test-dropin
test-dropin: $(VENV)/.dropin ## other people's clients, unmodified: coffea, Envoy, grpc-js, grpclib, KServe, perf_analyzer, tritonclient
	PATH="$(BIN):$$PATH" $(BIN)/python -m pytest tests/dropin tests/coffea

check: $(VENV)/.dev      ## ruff, mypy --strict, the import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev     ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

fuzz: $(VENV)/.fuzz      ## every reader of bytes, and a live server; FUZZ_SECONDS= for each, FUZZ=name for one of them
	PYTHONPATH=tools $(BIN)/python -m fuzz --seconds $(FUZZ_SECONDS) $(FUZZ)

bench: $(VENV)/.dev      ## the figures: ratios within one run; BENCH=name for one of them
	PYTHONPATH=. $(BIN)/python benchmarks/run.py $(BENCH)

bench-workloads: $(VENV)/.dev ## each workload direct, as a service, and the ordinary algorithm; BENCH=name for one of them
	@mkdir -p build
	$(BIN)/python -m benchmarks.workloads --json build/workloads.json $(BENCH)

bench-server: $(VENV)/.dev ## what serving costs, by each transport; needs h2load; BENCH='--cases dense16 --seconds 1' and the like
	$(BIN)/python -m benchmarks.server $(BENCH)

# Other servers that it measures too, each with its own requirements; PEERS=kserve for one of them.
PEERS ?= nvidia-pytriton kserve litserve mlserver uvicorn
NEEDS_uvicorn := httptools uvloop
bench-peers: $(PEERS:%=build/peers/%) ## install other servers for bench-server to stand beside, 1.5 GB in build/peers

build/peers/%:
	$(PYTHON) -m venv $@.part
	$@.part/bin/python -m pip --disable-pip-version-check -q install $* onnxruntime $(NEEDS_$*)
	mv $@.part $@

SECONDS ?= 600
soak: $(VENV)/.dev       ## a server under load, hazards and overload, and its end; SECONDS= for how long, SOAK='--only overload' and the like
	@mkdir -p build
	$(BIN)/python -m benchmarks.soak --seconds $(SECONDS) --json build/soak.json $(SOAK)

faults: $(VENV)/.dev     ## a job of 10,000 chunks whose servers are killed, one every second; FAULTS='--chunks 1000' and the like
	@mkdir -p build
	$(BIN)/python -m benchmarks.faults --json build/faults.json $(FAULTS)

# Each goes on where it was; remove build/study to begin anew.
STUDY ?= distance facile particlenet-ak4 emtrackmichel
study: $(VENV)/.dev      ## scans of networks over 1 to 64 clients, drawn, in build/study; STUDY=facile for one of them
	@mkdir -p build/study
	for name in $(STUDY); do \
	  $(BIN)/sonic study scan $$name --to build/study/$$name.jsonl && \
	  $(BIN)/sonic study plot build/study/$$name.jsonl --to build/study/$$name --html build/study/$$name.html \
	    --spec src/sonic/study/scan/specs/$$name.toml || exit 1; \
	done

gallery: $(VENV)/.dev    ## draw the pictures of the documentation again; GALLERY=hcal for a room, GALLERY=hcal-fits for one
	PYTHONPATH=tools $(BIN)/python -m gallery $(GALLERY)

tables: $(VENV)/.dev     ## write the tables of networks into docs/howto/zoo.md again
	$(BIN)/python tools/zoo_tables.py

docs: $(VENV)/.docs      ## the documentation, as pages in site/
	$(BIN)/mkdocs build --strict

proto: $(VENV)/.dev      ## generate the protobuf code again from src/sonic/protocol/proto/*.proto
	$(BIN)/python tools/generate_proto.py

train: $(VENV)/.dev      ## train the networks that ship, from generated events, into models/ (some hours on two cores)
	for name in $(patsubst src/sonic/workloads/models/%/1/model.onnx,%,$(wildcard src/sonic/workloads/models/*/1/model.onnx)); do $(BIN)/sonic train $$name || exit 1; done

wheel: $(VENV)/.dev      ## wheels in dist/: pure Python, and compiled for this machine where it has a C compiler
	HATCH_BUILD_NO_HOOKS=1 $(PIP) wheel --no-deps -w dist .
	$(PIP) wheel --no-deps -w dist .

compiled: $(VENV)/.dev   ## Sonic as pip installs it where there is a C compiler, in build/compiled, for bench-server and test-compiled
	rm -rf build/compiled
	HATCH_BUILD_HOOK_ENABLE_CUSTOM=1 $(PIP) install --no-deps --target build/compiled .

test-compiled: compiled  ## the tests of the server and the protocol with the compiled modules
	PYTHONPATH="$(CURDIR)/build/compiled" $(BIN)/python -m pytest -n 2 --dist loadfile tests/server tests/protocol

clean:                   ## remove what the tasks made, the environment too
	rm -rf $(VENV) dist build site .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
