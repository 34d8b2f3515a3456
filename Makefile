# Everything here works on a fresh clone: .venv is made when a target needs it.
.DEFAULT_GOAL := help
.PHONY: help demo test check format protos protos-check bench bench-peers bench-report faults wheel-check recipes-check \
	clients-check metrics-check page-check deploy-check nginx-check clean distclean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PROTO_OUT := protos
SOURCES := .ci protos training exporter serving clients tests examples benchmarks

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(INSTALLED) ## Train, export, serve and fetch handwritten digits, in a few minutes
	$(BIN)/python examples/demo.py

test: $(INSTALLED) ## Run the whole test suite, in a process more than there are cores, for tests wait at times
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses $$(( $$(getconf _NPROCESSORS_ONLN) + 1 )) --dist loadfile --no-loadscope-reorder

check: $(INSTALLED) protos-check ## Lint, types, import rules, protobuf rules and generated code
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint protos

format: $(INSTALLED) ## Format the code
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

protos: $(INSTALLED) ## Generate the protobuf code again
	PATH=$(abspath $(BIN)):$$PATH $(BIN)/python -m grpc_tools.protoc -I protos \
		--python_out=$(PROTO_OUT) --mypy_out=quiet,readable_stubs:$(PROTO_OUT) protos/ganserve/v1/*.proto
	PATH=$(abspath $(BIN)):$$PATH $(BIN)/python -m grpc_tools.protoc -I protos \
		--grpc_python_out=$(PROTO_OUT) --mypy_grpc_out=quiet:$(PROTO_OUT) \
		protos/ganserve/v1/admin.proto protos/ganserve/v1/generator.proto
	PATH=$(abspath $(BIN)):$$PATH $(BIN)/python -m grpc_tools.protoc -I serving \
		--descriptor_set_out=serving/ganserve/serving/open_inference/inference.binpb --mypy_out=quiet,readable_stubs:serving \
		serving/ganserve/serving/open_inference/inference.proto

protos-check: $(INSTALLED) ## Fail where the checked-in protobuf code is not what the protos give
	rm -rf build/protos && mkdir -p build/protos
	$(MAKE) --no-print-directory protos PROTO_OUT=build/protos
	cd build/protos/ganserve/v1 && for file in *; do diff -u ../../../../protos/ganserve/v1/$$file $$file || exit 1; done

bench: $(INSTALLED) ## Measure the server against one-by-one runs of the same model
	$(BIN)/python benchmarks/serving.py

bench-peers: $(INSTALLED) ## Measure the server beside those of other makers, in environments of their own
	$(BIN)/python benchmarks/peers.py
	$(BIN)/python benchmarks/peers.py --shape 64 64 3 --width 24

bench-report: $(INSTALLED) ## Run all benchmarks of the server, and write docs/benchmarks.md
	$(BIN)/python benchmarks/report.py

faults: $(INSTALLED) ## Overload a server, and do other harm to it, and show what it does
	$(BIN)/python benchmarks/faults.py

wheel-check: $(INSTALLED) ## Build the wheel and try it, an extra at a time, in environments of its own
	$(BIN)/python .ci/wheel_check.py

recipes-check: $(INSTALLED) ## Run the recipes for Ray, TensorFlow and DALI, in an environment of their own
	$(BIN)/python .ci/recipes_check.py

metrics-check: $(INSTALLED) ## Have a real Prometheus read the server and check its alerts
	$(BIN)/python .ci/metrics_check.py

deploy-check: $(INSTALLED) ## Validate what deploy/ has for Kubernetes and systemd
	$(BIN)/python .ci/deploy_check.py

nginx-check: $(INSTALLED) ## Put a real nginx in front of a server, and ask through it
	$(BIN)/python .ci/nginx_check.py

clients-check: $(INSTALLED) ## Have clients of other makers ask a server, in environments of their own
	$(BIN)/python .ci/clients_check.py

page-check: $(INSTALLED) ## Try the server's page in headless Chromium; screenshots lie in build/page
	$(BIN)/python .ci/page_check.py

clean: ## Remove what runs left behind, but not .venv
	rm -rf build dist demo .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find $(SOURCES) -name __pycache__ -prune -exec rm -rf {} +

distclean: clean ## Remove .venv too
	rm -rf $(VENV)
