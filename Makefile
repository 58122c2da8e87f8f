# rxedge. 'make' alone lists what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help
GO ?= go
export GOFLAGS ?= -buildvcs=false
# go-nvml wraps functions that NVIDIA has marked deprecated.
export CGO_CFLAGS ?= -O2 -g -Wno-deprecated-declarations

.PHONY: help check build run test bench bench-code lint clean tidy-check

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

include engine.mk cuda.mk bench.mk package.mk

check: ## say what this machine lacks
	@missing=0; need() { command -v $$1 >/dev/null 2>&1 || { echo "missing: $$1; on Debian: apt-get install $$2"; missing=1; }; }; \
	need $(GO) golang; need gcc gcc; need g++ g++; need git git; need npm npm; \
	if [ $$missing = 0 ] && ! $(GO) version | grep -qE 'go1\.(2[6-9]|[3-9][0-9])'; then \
	  echo "too old: $$($(GO) version); rxedge needs Go 1.26 or newer"; missing=1; fi; \
	exit $$missing

build: check engine bin/rxedged bin/rxedge ## build rxedged, rxedge and the engine into bin/

.PHONY: bin/rxedged bin/rxedge
bin/rxedged:
	@$(GO) build -trimpath -o $@ ./daemon
bin/rxedge:
	@$(GO) build -trimpath -o $@ ./admin

run: build ## build and start the appliance on 127.0.0.1:8731, data in ./var
	@exec bin/rxedged --data var

test: check engine pdf-engine ## vet and run all tests with the race detector
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "not formatted:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet -race ./...
	$(GO) test -race -vet=off -timeout 20m ./...

bench: bench-engine bench-dense bench-lexical bench-answers bench-code ## measure all, with the peers in the same run (see BENCHMARKS.md)

bench-code: ## measure what needs no peer
	$(GO) test -run '^$$' -bench . -benchmem $$($(GO) list ./... | grep -vE '/(inference/llama|daemon)$$')

lint: ## staticcheck, and go mod tidy must leave no diff
	$(GO) vet -race ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.7.0 ./...
	@cp go.mod .cache/go.mod.before; cp go.sum .cache/go.sum.before; $(GO) mod tidy; \
	cmp -s go.mod .cache/go.mod.before && cmp -s go.sum .cache/go.sum.before || { echo "go mod tidy leaves a diff"; exit 1; }

.PHONY: pdf-engine
pdf-engine: ## compile the PDF engine into the user's cache, which takes long under the race detector
	@$(GO) run ./index/document/pdf/compile

DOCUMENT_DATA ?= ../shared/data
DOCUMENT_CORPUS ?= .cache/document-corpus
.PHONY: document-corpus
document-corpus: ## make hard documents with real programs, from the texts in DOCUMENT_DATA, and measure how they are read
	$(GO) run ./index/document/corpus -data $(DOCUMENT_DATA) -out $(DOCUMENT_CORPUS)
	RXEDGE_DOCUMENT_CORPUS=$(abspath $(DOCUMENT_CORPUS)) $(GO) test -timeout 60m -count=1 -v -run 'TestCorpus|TestStatedCorpus' ./index/document

SEMANTIC_DATA ?= ../shared/data
.PHONY: support-model
SUPPORT_DATA ?= ../shared/data
support-model: ## train the built-in judge anew, from the texts in SUPPORT_DATA, and print what it reaches
	$(GO) run ./inference/support/train -data $(SUPPORT_DATA)

.PHONY: guard-model
GUARD_DATA ?= ../shared/data
guard-model: ## train the guard anew, from the labels in GUARD_DATA, and print what it reaches
	$(GO) run ./daemon/answer/guard/train -data $(GUARD_DATA)

.PHONY: semantic-model
semantic-model: ## train the built-in embedder anew, from the texts in SEMANTIC_DATA
	$(GO) run ./inference/semantic/train -data $(SEMANTIC_DATA)

clean: ## remove what was built (not ./var, not the engine's cache)
	rm -rf bin dist
