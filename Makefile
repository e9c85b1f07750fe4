# Every target sets up what it needs: a virtual environment in .venv, packages, tools.
# Variables: PYTHON names the interpreter, UPSTREAM the app that `make run` guards; ARGS is what
# `make surge` gives to `planb surge`.

.DEFAULT_GOAL := help
.PHONY: help run surge test test-compiled lint wheel bench bench-overload bench-dependency browser bench-tools clean

PYTHON ?=
ARGS ?=

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-17s %s\n", $$1, $$2}' Makefile

run: .venv/.run ## the demo shop behind Plan B; UPSTREAM=http://host:port puts your own app there
	@if [ -n "$$UPSTREAM" ]; then exec .venv/bin/planb run config/own-app.yaml; \
	else exec .venv/bin/planb demo; fi

surge: .venv/.run ## send what `make run` started ten times what it can serve; ARGS="URL --times 20"
	@.venv/bin/planb surge $(ARGS)

test: .venv/.dev browser ## all tests
	@.venv/bin/python -m pytest -n auto --maxprocesses 4 --dist loadfile

# In a folder without the sources: `import proxy` there is what is installed.
test-compiled: .venv-compiled/.made ## the tests of what is compiled, on the compiled wheel
	@cd .venv-compiled/tree && ../bin/python -m pytest tests/test_version.py \
	    tests/policy tests/wire tests/lanes tests/parity tests/scenarios

lint: .venv/.dev ## style, format, strict types
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy

wheel: dist/.compiled ## a compiled wheel into dist/; takes a C compiler and a minute

bench: bench-tools .venv-compiled/.made ## beside nginx, HAProxy and Envoy, into tests/bench/RESULTS.md; about 12 minutes
	@.venv/bin/python -m tests.bench.compare
	@.venv/bin/python -m tests.bench.reload
	@.venv/bin/python -m tests.bench.decision

bench-overload: bench-tools .venv-compiled/.made ## before a shop that gets too much, into tests/bench/OVERLOAD.md; about 25 minutes
	$(call need,cc gcc clang,gcc)
	@.venv/bin/python -m tests.bench.overload.compare

bench-dependency: bench-tools ## a shop whose coupon service is sick, into tests/bench/DEPENDENCY.md; about 35 minutes
	@.venv/bin/python -m tests.bench.dependency

browser: ## install Chromium, which the tests of the pages need
	$(call need,chromium chromium-browser google-chrome,chromium chromium-browser)

bench-tools: .venv/.bench ## install what the benchmarks need: nginx, HAProxy, wrk; Envoy into .venv
	$(call need,nginx,nginx)
	$(call need,haproxy,haproxy)
	$(call need,wrk,wrk)

clean: ## remove everything that make made
	@rm -rf .venv .venv-compiled dist build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -prune -exec rm -rf {} +

# A .venv without this mark was left half made, by Debian's python3 without python3-venv for one.
.venv/.made:
	@found=; seen=; \
	for python in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11); do \
	    version=$$("$$python" -c 'import sys; print(sys.version.split()[0])' 2>/dev/null) || continue; \
	    seen="$$seen $$python is $$version."; \
	    if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
	        found=$$python; break; \
	    fi; \
	done; \
	if [ -z "$$seen" ]; then \
	    echo "Plan B needs Python 3.11 or newer, and $(or $(PYTHON),python3) was not found: sudo apt install python3 python3-venv" >&2; exit 1; \
	elif [ -z "$$found" ]; then \
	    echo "Plan B needs Python 3.11 or newer:$$seen Name a newer one with make PYTHON=/path/to/python3.11 ..." >&2; exit 1; \
	elif ! "$$found" -c 'import ensurepip, venv' 2>/dev/null; then \
	    echo "Python's venv module is incomplete here: sudo apt install $$(basename "$$found")-venv" >&2; exit 1; \
	fi; \
	rm -rf .venv && "$$found" -m venv .venv && touch $@

.venv/.run: .venv/.made pyproject.toml
	$(call install,.,Plan B)
	@touch $@

.venv/.dev: .venv/.made pyproject.toml
	$(call install,.[dev],Plan B and its development tools)
	@touch .venv/.run $@

.venv/.bench: .venv/.made pyproject.toml
	$(call install,.[bench],Plan B and what its benchmarks need)
	@touch .venv/.run $@

.venv/.build: .venv/.made
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check 'build>=1.2'
	@touch $@

# By way of the sdist, as `build` does: compiled here, the modules would lie beside their sources,
# and be imported in their place ever after.
# mypyc exports every function of its own; hidden, they call each other directly, and inline. Newer
# setuptools put CFLAGS in the place of Python's own, -DNDEBUG and -fwrapv among them: so both.
dist/.compiled: .venv/.build pyproject.toml compile_scan.py README.md \
    $(wildcard proxy/*.py proxy/*/*.py proxy/*/*.c proxy/*/*.html proxy/*/pages/*)
	$(call need,cc gcc clang,gcc)
	@echo "Compiling: a minute" >&2
	@rm -f dist/planb-*
	@CFLAGS="$$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_config_var("CFLAGS"))') \
	    -fvisibility=hidden -fno-plt $$CFLAGS" HATCH_BUILD_HOOKS_ENABLE=1 \
	    .venv/bin/python -m build --quiet --outdir dist || { \
	    echo "The wheel could not be built; the reason stands above. For Python.h: sudo apt install python3-dev" >&2; exit 1; }
	@touch $@

# Links, so that the tests find all they need but the sources. The last line proves that, and that
# what they do find is compiled.
.venv-compiled/.made: dist/.compiled
	@echo "Installing the compiled Plan B into .venv-compiled" >&2
	@rm -rf .venv-compiled && .venv/bin/python -m venv .venv-compiled
	@.venv-compiled/bin/python -m pip install --quiet --disable-pip-version-check \
	    "$$(echo dist/planb-*.whl)[dev]"
	@mkdir .venv-compiled/tree && cd .venv-compiled/tree && ln -s ../../tests ../../config ../../pyproject.toml .
	@cd .venv-compiled/tree && ../bin/python -m proxy --version | grep ', compiled$$'
	@touch $@

# $(call install,WHAT,NAME): WHAT from this folder, editable, into .venv; NAME is for people.
define install
	@echo "Installing $(2) into .venv: a minute or two" >&2
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '$(1)' || { \
	    echo "The packages could not be installed; pip's reason stands above. Is the package index within reach?" >&2; exit 1; }
endef

# $(call need,COMMANDS,PACKAGES): one of COMMANDS, or else, through apt, the first of PACKAGES
# that it has (Ubuntu's chromium has another name than Debian's).
define need
	@PATH="$$PATH:/usr/sbin"; \
	for name in $(1); do if command -v $$name >/dev/null; then exit 0; fi; done; \
	if [ "$$(id -u)" = 0 ]; then as_root=env; \
	elif sudo -n true 2>/dev/null; then as_root="sudo -n env"; \
	else as_root=; fi; \
	if [ -z "$$as_root" ] || ! command -v apt-get >/dev/null; then \
	    echo "$(firstword $(1)) is missing, and make can't install it without root and apt: sudo apt install $(firstword $(2))" >&2; exit 1; \
	fi; \
	echo "Installing $(firstword $(1)) with apt" >&2; \
	$$as_root apt-get -qq update; \
	for package in $(2); do \
	    if apt-cache show $$package >/dev/null 2>&1; then \
	        $$as_root DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $$package >/dev/null && exit 0; \
	        break; \
	    fi; \
	done; \
	echo "apt could not install $(firstword $(2)); its reason stands above." >&2; exit 1
endef
