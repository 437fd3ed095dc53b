# make demo: set up, then replicate one paper. make test: set up, then every check and test.
# All of it lands in this folder (.venv, .tools, bin, results); stamps let a second run skip what is done.

GO ?= go
PYTHON ?= python3
export GO PYTHON
export PIP_DISABLE_PIP_VERSION_CHECK = 1
kernel = .venv/share/jupyter/kernels/gonb/kernel.json
notebooks = $(wildcard notebooks/*.ipynb)

.PHONY: help setup demo test test-full notebooks bench bench-python fuzz-onnx conformance zoo golden completion fmt clean bin/trustbook bin/nbcheck bin/checkall

help:
	@echo "make demo | test | test-full | setup | notebooks | bench | bench-python | fuzz-onnx | conformance | zoo | golden | completion | fmt | clean"

setup: $(kernel) .tools/.modules bin/trustbook

demo: setup
	bin/trustbook replicate robust/joint --scale quick --any-verdict --out results/robust-joint

test: setup .tools/.lint bin/nbcheck bin/checkall
	@bin/checkall

# The same with XLA's optimizations in every test: most of a test is compiling, so most leave them out.
test-full:
	TRUSTBOOK_FULL_TESTS=1 $(MAKE) test

# Runs the notebooks at quick scale and writes their outputs back.
notebooks: setup bin/nbcheck
	bin/nbcheck commit $(notebooks)

# BENCH_PYTHON: a Python that has torch, torchattacks and ART, to time beside; `make bench-python` makes one in .bench.
BENCH_PYTHON ?= $(wildcard .bench/bin/python)
bench: setup
	BENCH_PYTHON="$(if $(findstring /,$(BENCH_PYTHON)),$(abspath $(BENCH_PYTHON)),$(BENCH_PYTHON))" $(GO) test -p 1 -run '^$$' -bench . -benchtime 2s -benchmem ./...

bench-python:
	$(PYTHON) -m venv .bench
	.bench/bin/python -m pip install --quiet -r robust/attack/testdata/requirements.txt
	$(PYTHON) -m venv .mlserver
	.mlserver/bin/python -m pip install --quiet -r remote/testdata/requirements.txt

# Compares GRAPHS random networks, from seed FIRST on, with ONNX Runtime and PyTorch, in the same Python.
GRAPHS ?= 2000
FIRST ?= 0
fuzz-onnx: setup
	TRUSTBOOK_GRAPHS=$(GRAPHS) TRUSTBOOK_FIRST=$(FIRST) \
	BENCH_PYTHON="$(if $(findstring /,$(BENCH_PYTHON)),$(abspath $(BENCH_PYTHON)),$(BENCH_PYTHON))" $(GO) test -count 1 -timeout 60m -v -run TestManyGraphs ./nets/onnx

# Runs the package onnx's own tests through the importer, in the same Python, and prints for each operator how many are right,
# refused and why, and wrong.
conformance: setup
	TRUSTBOOK_CONFORMANCE=1 \
	BENCH_PYTHON="$(if $(findstring /,$(BENCH_PYTHON)),$(abspath $(BENCH_PYTHON)),$(BENCH_PYTHON))" $(GO) test -count 1 -timeout 10m -v -run TestConformance ./nets/onnx

# Has the networks of torchvision and timm exported and loaded, one after the other, and writes docs/models.md: an hour or two. What
# was done is kept in results/zoo.
zoo: setup
	$(GO) build -o bin/zoo ./internal/cmd/zoo
	bin/zoo --python "$(BENCH_PYTHON)"

# Draws the golden pictures anew: review the difference before you commit it.
golden: setup
	UPDATE_GOLDEN=1 $(GO) test -count 1 -run TestGoldenPictures ./report

# Completion in notebooks; half a minute to build, and nothing else needs it.
completion: .tools/.stamp
	GOBIN="$(CURDIR)/.tools" $(GO) -C tools/gopls install tool

fmt: .tools/.stamp
	.tools/goimports -w -local github.com/trustbook/trustbook $$(git ls-files '*.go')

clean:
	rm -rf .venv .tools .bench bin

bin/trustbook bin/nbcheck:
	@test -x $@ || { tools/prerequisites.sh && echo "Building $@: the first build takes a minute or two"; }
	@$(GO) build -o $@ ./cmd/$(@F)

bin/checkall:
	@$(GO) build -o $@ ./internal/cmd/checkall

.venv/.stamp: requirements.txt
	@tools/prerequisites.sh
	@echo "Python environment: .venv"
	@$(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install --quiet -r requirements.txt
	@touch $@

.tools/.stamp: tools/go.mod tools/go.sum
	@tools/prerequisites.sh
	@echo "Kernel and tools: .tools"
	@GOBIN="$(CURDIR)/.tools" $(GO) -C tools install tool
	@touch $@

# All modules at once, MNIST's among them: nothing is downloaded later, in a notebook's cell least of all.
.tools/.modules: go.mod go.sum
	@$(GO) mod download
	@mkdir -p $(@D) && touch $@

.tools/.lint: tools/lint/go.mod tools/lint/go.sum
	@echo "Linters: .tools"
	@GOBIN="$(CURDIR)/.tools" $(GO) -C tools/lint install tool
	@touch $@

$(kernel): .venv/.stamp .tools/.stamp $(wildcard kernel/*.go kernel/*.tmpl) | bin/trustbook
	@bin/trustbook kernel install
	@touch $@
