# The llama.cpp engine, in bin/llama. Included by the Makefile; what is done and
# why stands in inference/llama/engine/build.sh.
.PHONY: engine engine-tools

engine: ## build the llama.cpp engine (90 s the first time, then cached)
	@inference/llama/engine/build.sh server

engine-tools: ## add llama-bench, llama-quantize, llama-imatrix, llama-perplexity
	@inference/llama/engine/build.sh tools
