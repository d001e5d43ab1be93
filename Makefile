# `make demo` and `make test` set up .venv where it is missing and run from a clean clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint format slow findings versions board board-test clean help

help:  ## these lines
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

$(READY): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[synth,dev]'
	touch $(READY)

install: $(READY)  ## .venv with everything the project uses

DEMO := runs/demo
# A clean clone gives the same figures on the same machine: the seed is fixed, and what is done is not done again.
demo: $(READY)  ## stereo scenes -> depth -> training -> ONNX -> video, minutes on 2 cores
	$(BIN)/advmtl synth data/demo --scenes 192 --size 512x256 --seed 1 --workers 2
	$(BIN)/advmtl preprocess data/demo --workers 2
	$(BIN)/advmtl train demo --data cityscapes:data/demo --out $(DEMO)
	$(BIN)/advmtl export $(DEMO)
	$(BIN)/advmtl infer $(DEMO)/model.onnx data/demo/leftImg8bit/val --out $(DEMO)/infer.mp4 --fps 2
	$(BIN)/advmtl evaluate $(DEMO)
	@echo "written: $(DEMO)/panels/ $(DEMO)/evolution.gif $(DEMO)/infer.mp4; metrics: $(DEMO)/evaluation.json"

test: $(READY) lint  ## the default tests (no network, about fourteen minutes on two cores)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --dist loadfile --durations=10

lint: $(READY)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)  ## let ruff rewrite
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

slow: $(READY)  ## the tests that take minutes
	$(BIN)/python -m pytest -q -m slow

findings:  ## surprises about other packages, each run anew (minutes, needs a package index)
	@failed=0; for script in findings/*.sh; do echo "== $$script"; PYTHON=$(PYTHON) bash $$script || failed=1; done; exit $$failed

versions: $(READY)  ## the lowest and the newest of every declared dependency, and the board package (a package index, 8 GB)
	PYTHON=$(abspath $(BIN)/python) .ci/versions low new board

board: $(READY)  ## the wheel for boards, into dist/
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist ./board

board-test: $(READY)  ## that wheel on Python 3.10 with the oldest and the newest it allows, against the results here
	PYTHON=$(abspath $(BIN)/python) .ci/versions board

clean:  ## remove what make made (.venv, runs/demo, data/demo)
	rm -rf $(VENV) runs/demo data/demo
