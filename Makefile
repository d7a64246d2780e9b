# `make demo` and `make test` each work alone on a fresh clone: both make the environment they need.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
JOBS ?= 2
UNIT := not slow and not notebook and not browser

# The experiments that `make experiments-fast` runs small; a test finds one that is missing here.
QUESTIONS := $(basename $(notdir $(wildcard experiments/configs/*.json)))
QUALITIES := classes classify descriptors energies foreign heard honesty inversion labelled posterior_gap prior reconstruction \
	retrieval slicing small_folders texture transcoding variants
SPEEDS := command features latency library scale search slicing step train
RELEASES := pretrain

.PHONY: demo test notebooks browser screenshots wheel prove experiments-fast lint lab lock clean

demo: $(READY)  ## the notebooks on built-in sounds, or on a folder: make demo SOUNDS=DIR
	$(if $(SOUNDS),VAELAB_SOUNDS="$(SOUNDS)") $(BIN)/python notebooks/run.py --out demo

test: $(READY)  ## unit tests
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m "$(UNIT)"

notebooks: $(READY)  ## the notebooks, in short runs
	$(BIN)/python -m pytest -m notebook

browser: $(READY)  ## map and mixer in a real JupyterLab, and the app (needs Chromium)
	$(BIN)/python -m pytest -m browser

screenshots: $(READY)  ## the guides' pictures of map, mixer and instrument, of the model `general` and real drum kits
	$(BIN)/python notebooks/screenshots.py --out docs

wheel: $(READY)  ## the wheel in a new environment (needs an index of packages)
	$(BIN)/python -m pytest -m slow tests/test_wheel.py

prove: $(READY)  ## the long proofs in full
	$(BIN)/python -m pytest -m slow

experiments-fast: $(READY)  ## a small version of every experiment; nothing of it is kept
	@set -e; for name in $(QUESTIONS:%=quality.run@%) $(QUALITIES:%=quality.%) $(SPEEDS:%=speed.%) \
			$(RELEASES:%=release.%); do \
		set -- $$(echo "$$name" | tr @ " "); \
		echo "python -m experiments.$$* --tiny"; \
		TQDM_DISABLE=1 $(BIN)/python -m experiments.$$* --tiny; \
	done
	$(BIN)/python -m experiments.release.page --check

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lab: $(READY)  ## JupyterLab on the notebooks
	$(BIN)/python -m jupyterlab notebooks

lock:  ## refresh requirements.lock from pyproject.toml (needs uv)
	uv pip compile pyproject.toml --extra notebook --extra video --group dev --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header --quiet --upgrade --output-file requirements.lock

clean:
	rm -rf .venv .venv-colab demo

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit(f"vaelab needs Python 3.11 or newer, found {v.major}.{v.minor}: name one with make PYTHON=python3.12")'
	@echo "making the environment in .venv (a few minutes, once)"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $(READY)
