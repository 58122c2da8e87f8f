# Benchmarks beside peers from packages. Each prints ratios of one run.
.PHONY: bench-dense

# Debian: apt-get install python3-faiss libopenblas0-pthread libhnswlib-dev
# Sizes: 'make bench-dense BENCH_DENSE="-sizes 10000,100000,500000,2000000"'.
bench-dense: ## measure vector search beside FAISS, hnswlib and the memory itself
	$(GO) run ./bench/dense $(BENCH_DENSE)
