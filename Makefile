# Learning to Team Up. `make help` lists the targets; each sets up by itself what it needs.
# PYTHON=/path/to/python3.12 picks the interpreter. TORCH_INDEX= (empty) brings torch with CUDA.
VENV        ?= .venv
PYTHON      ?=
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
THREADS     ?= 1
COHORT      ?= 0

BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
NBVAL  := $(BIN)/python -m pytest -q --nbval --nbval-current-env --nbval-cell-timeout 300
# Every vector unit beyond the plainest one switched off, in torch, NumPy and OpenBLAS.
LESSER := ATEN_CPU_CAPABILITY=default OPENBLAS_CORETYPE=$(if $(filter x86_64,$(shell uname -m)),Prescott,ARMV8) \
	NPY_DISABLE_CPU_FEATURES="$$($(BIN)/python -c 'import numpy; print(*numpy.show_config(mode="dicts")["SIMD Extensions"]["found"])')"

# Stored outputs are made and compared with one thread; a lab's progress bars show only in a live session.
export PYTHON TORCH_INDEX
export OMP_NUM_THREADS = $(THREADS)
export OPENBLAS_NUM_THREADS = $(THREADS)
export MKL_NUM_THREADS = $(THREADS)
labs notebooks: export TQDM_DISABLE = 1

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help book pdf test lint unit labs lab notebooks figures assignments bench test-long book-sphinx wheel links lock clean distclean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-12s %s\n", $$1, $$2}' Makefile

book: $(READY) ## build the site into _build/html
	@echo "The site: building it into _build/html, about 20 s the first time"
	@$(BIN)/jupyter-book build . --path-output . -W -n --keep-going -q || { rm -rf _build/.doctrees; exit 1; }
	@echo "Or serve it: $(BIN)/python -m http.server -d _build/html, then open http://localhost:8000"

pdf: book ## print the site as one PDF into _build, with contents; needs Chromium, no TeX
	@$(BIN)/python .ci/pdf.py

test: book lint unit labs ## the whole check: package, labs against their stored outputs, site

lint: $(READY)
	@echo "Lint and types"
	@$(BIN)/python -m ruff check -q . && $(BIN)/python -m mypy

unit: $(READY)
	@echo "Unit and property tests, doctests, mutation proof, site"
	@$(BIN)/python -m pytest -q

labs: $(READY)
	@echo "Labs: every cell again, compared with its stored output"
	@$(NBVAL) notebooks/*.ipynb

lab: $(READY) ## open JupyterLab on the labs
	@$(BIN)/python -m jupyterlab $(if $(filter 0,$(shell id -u)),--allow-root) notebooks

notebooks: $(READY) ## run all labs again, store their outputs and write the page of claims
	@$(BIN)/python .ci/execute.py notebooks/*.ipynb
	@$(BIN)/python book/ledger.py

figures: $(READY) ## draw the figures of the theory pages again
	@$(BIN)/python book/figures.py

assignments: .venv-instructor/.ready ## make the assignments for a class: release, hidden tests seeded by COHORT=2027
	@.venv-instructor/bin/python .ci/assignments.py _build/assignments $(COHORT)

bench: $(READY) .venv-bench/.ready ## measure the speed of coalmarl beside its peers and store the tables of the page on performance
	@mkdir -p _build && .venv-bench/bin/python -m benchmarks > _build/benchmarks.txt
	@for part in batches crowds labs; do $(BIN)/python -m benchmarks.$$part >> _build/benchmarks.txt || exit 1; done
	@mv _build/benchmarks.txt book/benchmarks.txt && cat book/benchmarks.txt

test-long: test .venv-instructor/.ready ## what takes longer: other threads, a lesser processor, all mutants, long fuzzing, wheel
	@echo "Labs with two threads"
	@$(MAKE) --no-print-directory labs THREADS=2
	@echo "Labs on a lesser processor"
	@$(LESSER) $(MAKE) --no-print-directory labs
	@echo "Long tests"
	@$(BIN)/python -m uv pip install -q --python $(BIN)/python --group zoo -c requirements.txt
	@HYPOTHESIS_PROFILE=long $(BIN)/python -m pytest -q -m "long or not long"
	@$(MAKE) --no-print-directory wheel book-sphinx

book-sphinx: $(READY) .venv-sphinx/.ready ## the escape hatch: the same sources without Jupyter Book
	@echo "The site on current Sphinx: building it into _build/sphinx/html"
	@rm -rf _build/sphinx && mkdir -p _build/sphinx/source && cp -R _config.yml _toc.yml book notebooks _build/sphinx/source
	@$(BIN)/jupyter-book config sphinx _build/sphinx/source
	@echo "extensions = [e for e in extensions if e not in ('jupyter_book', 'sphinx_comments', 'sphinx_jupyterbook_latex')]" \
		>> _build/sphinx/source/conf.py
	@.venv-sphinx/bin/python -m sphinx -q -n -W --keep-going _build/sphinx/source _build/sphinx/html

wheel: $(READY) ## build the wheel and import it in an empty environment
	@rm -rf build _build/wheel .venv-wheel
	@$(BIN)/python -m pip wheel -q . --no-deps --no-build-isolation -w _build/wheel
	@bash .ci/setup .venv-wheel torch -c requirements.txt _build/wheel/*.whl
	@cd _build && ../.venv-wheel/bin/python -W error -c 'import coalmarl.solutions, coalmarl.plotting; print("imported", coalmarl.__file__)'

links: $(READY) ## ask the network whether the pages the course links to are still there
	@$(BIN)/jupyter-book build . --path-output _build/links --builder linkcheck -q

lock: $(READY) ## turn requirements.in into requirements.txt
	@$(BIN)/python -m uv pip compile -q --universal --python-version 3.11 requirements.in -o requirements.txt

clean: ## remove what was built, keep the environments
	@rm -rf _build build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage

distclean: clean ## remove the environments, too
	@rm -rf .venv .venv-*

$(READY): requirements.txt pyproject.toml .ci/setup
	@bash .ci/setup $(VENV) torch --no-deps -r requirements.txt -e .

.venv-sphinx/.ready: pyproject.toml .ci/setup
	@bash .ci/setup .venv-sphinx --group sphinx

.venv-instructor/.ready: requirements.txt requirements-instructor.txt pyproject.toml .ci/setup
	@bash .ci/setup .venv-instructor torch -c requirements.txt -r requirements-instructor.txt -e .

.venv-bench/.ready: requirements.txt pyproject.toml .ci/setup
	@bash .ci/setup .venv-bench --group bench -c requirements.txt
