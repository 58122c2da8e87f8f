# The CUDA backend of the engine, and the checks that want a card. Included by
# the Makefile; what is done and why stands in inference/llama/engine/cuda.sh
# and inference/gpu/gpucheck.
.PHONY: cuda cuda-source gpu-check bin/gpu-check

cuda: ## build the CUDA backend (wants nvcc; CUDA_ARCH=89 where there is no card)
	@inference/llama/engine/cuda.sh build

cuda-source: ## bring the CUDA backend's source, for a machine without a network
	@inference/llama/engine/cuda.sh source

bin/gpu-check:
	@$(or $(GO),go) build -trimpath -o $@ ./inference/gpu/gpucheck
	@$(or $(GO),go) test -c -trimpath -o bin/gpu-check-7b ./inference/huggingface

# A machine with a card may have no Go: bin/ built elsewhere serves there.
gpu-check: ## measure on the card: speed against llama-bench, embeddings, NVML, the ladder
	@if command -v $(or $(GO),go) >/dev/null 2>&1; then $(MAKE) --no-print-directory bin/gpu-check; \
	elif ! [ -x bin/gpu-check ]; then echo "gpu-check: there is neither Go nor bin/gpu-check here; build it elsewhere with 'make bin/gpu-check' and copy bin/"; exit 1; fi
	@bin/gpu-check $(GPU_CHECK)
