# Benchmarks beside peers from packages. Each prints ratios of one run.
.PHONY: soak bench-archive bench-box bench-dense bench-lexical bench-answers bench-liar bench-swaps bench-meaning bench-support

# Debian: apt-get install python3-faiss libopenblas0-pthread libhnswlib-dev
# Sizes: 'make bench-dense BENCH_DENSE="-sizes 10000,100000,500000,2000000"'.
bench-dense: ## measure vector search beside FAISS, hnswlib and the memory itself
	$(GO) run ./bench/dense $(BENCH_DENSE)

# Debian: apt-get install liblucene8-java default-jdk-headless libxapian-dev
# bleve comes from the Go module proxy, into a module of its own.
bench-lexical: ## measure search by words beside Lucene, Xapian, bleve and SQLite
	$(GO) run ./bench/lexical $(BENCH_LEXICAL)

# 'make bench-answers BENCH_ANSWERS="-passages 20000 -for 1m"' for less. The load
# comes from vegeta, of the Go module proxy, run from a module of its own.
bench-answers: ## measure answers over HTTP on 100,000 passages, and 50 questions a second for 5 minutes
	$(GO) run ./bench/answers $(BENCH_ANSWERS)

# Seeds and examples: 'make bench-liar BENCH_LIAR="-seed 2 -examples 3"'.
bench-liar: ## let a generator lie about real labels, and count what is shown
	$(GO) run ./bench/liar $(BENCH_LIAR)

# NFCorpus's dev queries, the tenth of MedQuAD that no training saw, and the label
# questions as they are and in lay words, from the texts in MEANING_DATA. About
# 3 minutes. 'make bench-meaning BENCH_MEANING="-split train -labels=false"' for others.
MEANING_DATA ?= ../shared/data
bench-meaning: ## set words, vectors, both and both with a reranker beside one another, with paired tests
	$(GO) run ./inference/semantic/train -data $(MEANING_DATA) -held-out .cache/medquad-held-out
	$(GO) run ./bench/meaning -data $(MEANING_DATA) -medquad .cache/medquad-held-out -runs .cache/meaning $(BENCH_MEANING)

# Trains what 'make support-model' trains and writes no model. The scores are for
# 'python3 inference/support/train/auc.py .cache/support-scores.jsonl' (python3-sklearn).
bench-support: ## AUC of the built-in judge on what it was not trained on, and how many changed doses it catches
	@mkdir -p .cache
	$(GO) run ./inference/support/train -data $(SUPPORT_DATA) -out "" -scores .cache/support-scores.jsonl

# About 2 minutes; shorter: 'make bench-swaps RXEDGE_SWAPS=100 RXEDGE_ROLLBACKS=25', with
# some 1,200 questions during swaps and 230 outside. RXEDGE_PAUSE_MS is between swaps,
# RXEDGE_SLOWEST how many of the slowest questions are shown with their stages.
bench-swaps: export RXEDGE_SWAPS ?= 200
bench-swaps: export RXEDGE_ROLLBACKS ?= 50
bench-swaps: export RXEDGE_RATE ?= 20
bench-swaps: ## swap and roll back pairs of index and model under 20 questions a second
	$(GO) test -run '^TestSwapsUnderLoad$$' -v -timeout 30m ./daemon

# As root the page cache is dropped before each start. Shorter:
# 'make bench-box BENCH_BOX="-passages 20000 -rest 20s"'.
bench-box: ## start a box of 100,000 passages, measure its first answer, its memory at rest, its idle processor time
	$(GO) run ./bench/box $(BENCH_BOX)

# Makes 2.5 GB under .cache/bench-archive; smaller: 'make bench-archive
# BENCH_ARCHIVE="-labels 500 -bulk 100"'. The labels are those in ARCHIVE_DATA.
ARCHIVE_DATA ?= ../shared/data
bench-archive: ## measure how a DailyMed release of 5,000 labels and an openFDA file of 1 GB are read
	@$(GO) build -o .cache/bench-archive.bin ./bench/archive
	@.cache/bench-archive.bin -data $(ARCHIVE_DATA) $(BENCH_ARCHIVE)

# Real processes: some 90 MB a site. LOOP="-sites 3" takes less than two minutes on a machine at rest.
.PHONY: loop
loop: ## run the whole loop of a fleet once: ingest, review, waves with a node killed, drift, training, confirmed; writes .cache/loop.md
	@mkdir -p .cache
	$(GO) run ./bench/loop $(LOOP)

# SOAK=3m for a short one (its slopes say nothing); as root the data folder gets a disk
# of its own, which is filled now and then. The series goes into .cache/soak.json.
SOAK ?= 2h
soak: engine ## let a box live for two hours with questions, updates and faults, and judge what grows
	@mkdir -p .cache
	$(GO) run ./bench/soak -for $(SOAK) -out .cache/soak.json $(BENCH_SOAK)

# Smaller: 'make bench-flow BENCH_FLOW="-labels 5000 -rate 2000 -hub 20s"'.
.PHONY: bench-flow
bench-flow: ## take 100,000 labels in while workers, bus and library are killed; documents a second with 1 and 2 workers
	$(GO) run ./bench/flow $(BENCH_FLOW)

# Three servers of the bus, workers with nothing but their file. Smaller:
# 'make bench-flow-cluster BENCH_FLOW="-rate 0 -labels 3000"'.
.PHONY: bench-flow-cluster
bench-flow-cluster: ## the same on a bus of three servers, killed one after another, with three copies of all
	$(GO) run ./bench/flow -cluster -labels 20000 -rate 5000 $(BENCH_FLOW)

.PHONY: broken-boxes
broken-boxes: engine ## break boxes one by one and mend each by what doctor says; prints the table (as root: all of them)
	RXEDGE_BROKEN_BOXES=1 $(GO) test -count 1 -timeout 20m -parallel 4 -run TestBrokenBoxes ./daemon

# Debian: apt-get install chromium. The sites are filled in, the hub and the browser are real.
.PHONY: bench-page
bench-page: export RXEDGE_PAGE_SITES ?= 1000,5000
bench-page: ## load the fleet page of 1,000 and 5,000 sites in Chromium, and time what is shown
	$(GO) test -count 1 -timeout 30m -run '^TestLoad$$' -v ./centre/page
# SIMULATE_SITES are the fleets' sizes. The sites' own folders lie in memory, as many sites
# have many disks; a site takes 1 to 2 MB of it.
SIMULATE_SITES ?= 100 300 1000
SIMULATE_BOXES ?= /dev/shm/rxedge-simulate
.PHONY: bench-simulate
bench-simulate: bin/rxedge ## let fleets of several sizes live against a hub, with faults, and reckon what larger ones take
	@mkdir -p .cache
	@for n in $(SIMULATE_SITES); do \
	  bin/rxedge central simulate --sites $$n --processes 2 --boxes $(SIMULATE_BOXES)/$$n --json $(BENCH_SIMULATE) >.cache/simulate-$$n.json || exit 1; \
	  rm -rf $(SIMULATE_BOXES)/$$n; done
	@$(GO) run ./bench/simulate $(SIMULATE_SITES:%=.cache/simulate-%.json)
