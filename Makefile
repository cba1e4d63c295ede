PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# onnxruntime and onnxruntime-gpu overwrite each other, so exactly one is installed.
RUNTIME := $(shell nvidia-smi >/dev/null 2>&1 && echo gpu || echo cpu)
ARGS ?=
# Files of tests side by side; a file stays whole, so that what its tests share is made once. ARGS='-n 0 ...' runs them one after the other.
SIDE_BY_SIDE := -n 2 --dist loadfile
# The tests start hundreds of processes, and where no bytecode is kept each of them compiles our sources anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install install-dev demo test test-gpu image-test screenshots docs settings wheelhouse lint bench elit clean

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Atomstream needs Python 3.11 or later; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[$(RUNTIME)]'
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[$(RUNTIME),train,structures,parquet,formats,hyperspy,ray,otel,openvino,streams,dev]'
	touch $@

demo: install
	$(BIN)/atomstream demo $(ARGS)

test: install-dev
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(ARGS)

test-gpu: install-dev
	$(BIN)/python -m pytest tests/gpu $(ARGS)

# Builds the image, runs it, scrapes it; as root on Debian, without an engine for containers.
image-test: install-dev
	command -v buildah debootstrap prometheus >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends buildah debootstrap prometheus; }
	ATOMSTREAM_IMAGE_TEST=1 $(BIN)/python -m pytest tests/image -s -o timeout=3600 $(ARGS)

# All that an installation without the internet needs, for a computer like this one; ARGS='--platform win_amd64 --python 3.12' for another.
wheelhouse: install-dev
	$(BIN)/python deploy/wheelhouse.py $(ARGS)

# The files that are made from the settings in the code.
settings: install
	$(BIN)/python -c 'from atomstream_service.config import config_schema; print(config_schema(), end="")' > docs/config.schema.json
	$(BIN)/atomstream serve --example > deploy/atomstream.toml

# The pictures of docs/operators.md.
screenshots: install-dev
	mkdir -p docs/page
	SCREENSHOTS=docs/page $(BIN)/python -m pytest tests/live/test_page_layout.py $(ARGS)

# The documentation as a site, in build/docs; a warning is an error.
docs: install-dev
	$(BIN)/sphinx-build -q -W --keep-going -b html docs build/docs $(ARGS)

lint: install-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install-dev
	$(BIN)/python benchmarks/live.py $(ARGS)

elit: install-dev
	$(BIN)/python benchmarks/elit.py elit-runs $(ARGS)

clean:
	rm -rf $(VENV) .venv-nion dist build
