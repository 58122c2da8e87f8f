# The llama.cpp engine; see inference/llama/engine/build.sh.
.PHONY: engine engine-tools
engine:
	@inference/llama/engine/build.sh
engine-tools:
	@inference/llama/engine/build.sh tools
