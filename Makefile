# Each target needs only Python 3.11 or newer, pip and make: the first one to
# run creates .venv and installs everything in it, all later ones reuse it.

SHELL := /bin/bash
RUN := TF_CPP_MIN_LOG_LEVEL=3 .venv/bin/python
INSTALLED := .venv/installed

.PHONY: demo demo-quick test lint install

demo: $(INSTALLED)
	$(RUN) -m trainers.train --config configs/digits.py:few \
	    --workdir runs/digits

# The same, shortened, and leaving nothing behind.
demo-quick: $(INSTALLED)
	workdir=$$(mktemp -d) && trap 'rm -rf "$$workdir"' EXIT && \
	$(RUN) -m trainers.train --config configs/digits.py:quick \
	    --workdir "$$workdir/digits"

test: $(INSTALLED)
	$(RUN) -m pytest -q --numprocesses 2 --dist worksteal

lint: $(INSTALLED)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

install: $(INSTALLED)

# The first interpreter that will do, or the one given as PYTHON=...
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
	$$python -c 'import sys, venv, pip; sys.exit(sys.version_info < (3, 11))' \
	    2>/dev/null && echo $$python && break; done)

# `installed` is made last. Without it, .venv is what an interrupted
# installation left, and is made anew; with an old one, it is brought up to date.
$(INSTALLED): setup.py
	@test -n "$(PYTHON)" || { echo "Needs Python 3.11 or newer with pip," \
	    "as python3.11, python3.12, python3.13 or python3 on the PATH, or" \
	    "named by make PYTHON=/path/to/python." >&2; exit 1; }
	@echo "Installing the dependencies into .venv, once: about a minute."
	@test -f $@ || $(PYTHON) -m venv --clear --without-pip .venv
	@rm -f $@
	@$(PYTHON) -m pip --python .venv/bin/python install --quiet --quiet \
	    --disable-pip-version-check pip -e ".[tests,tuning]"
	@touch $@
