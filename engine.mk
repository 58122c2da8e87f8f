# The llama.cpp engine, in bin/llama. Included by the Makefile; what is done and
# why stands in inference/llama/engine/build.sh.
.PHONY: engine engine-tools bench-engine

engine: ## build the llama.cpp engine (90 s the first time, then cached)
	@inference/llama/engine/build.sh server

engine-tools: ## add llama-bench, llama-quantize, llama-imatrix, llama-perplexity
	@inference/llama/engine/build.sh tools

# Contenders take turns, so other work on the machine slows them all; a quarter
# of an hour on 2 cores. Models of random weights are written once, to the cache.
bench-engine: engine-tools ## measure the engine: against llama-bench and the child called directly
	$(or $(GO),go) test -run '^$$' -bench . -benchtime 1x -timeout 60m -p 1 ./inference/llama ./daemon $(BENCH_ENGINE)
