package box

import (
	"context"
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"rxedge/daemon/answer"
	"rxedge/inference/gpu"
	"rxedge/inference/ladder"
)

// metrics are numbers alone: no label holds anything that a person wrote.
type metrics struct {
	registry *prometheus.Registry
	answers  *prometheus.CounterVec
	failed   prometheus.Counter
	withheld prometheus.Counter
	seconds  *prometheus.HistogramVec
}

func newMetrics(b *Box) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rxedge_answers_total",
			Help: "Questions that were answered or abstained from, by status, reason of abstention and mode."}, []string{"status", "reason", "mode"}),
		failed:   prometheus.NewCounter(prometheus.CounterOpts{Name: "rxedge_questions_failed_total", Help: "Questions that ended in an error."}),
		withheld: prometheus.NewCounter(prometheus.CounterOpts{Name: "rxedge_claims_withheld_total", Help: "Sentences of a model that the documents did not support."}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "rxedge_answer_stage_seconds", Help: "Time in each stage of an answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .3, .5, 1, 2.5, 5, 10, 30, 60}}, []string{"stage"}),
	}
	m.registry.MustRegister(m.answers, m.failed, m.withheld, m.seconds, &gauges{b},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Metrics in the format of Prometheus.
func (b *Box) Metrics() http.Handler {
	return promhttp.HandlerFor(b.metrics.registry, promhttp.HandlerOpts{})
}

func (m *metrics) observe(a *answer.Answer, err error) {
	if err != nil {
		m.failed.Inc()
		return
	}
	m.answers.WithLabelValues(a.Status, a.Reason, a.Mode).Inc()
	m.withheld.Add(float64(a.Withheld))
	for stage, ms := range map[string]float64{"embed": a.Timings.Embed, "retrieve": a.Timings.Retrieve, "rerank": a.Timings.Rerank,
		"generate": a.Timings.Generate, "verify": a.Timings.Verify, "cache": a.Timings.Cache, "total": a.Timings.Total} {
		if ms > 0 {
			m.seconds.WithLabelValues(stage).Observe(ms / 1000)
		}
	}
}

// gauges are read when they are asked for.
type gauges struct{ b *Box }

type gauge struct {
	*prometheus.Desc
	kind prometheus.ValueType
}

func describe(name, help string, labels ...string) gauge {
	return gauge{prometheus.NewDesc("rxedge_"+name, help, labels, nil), prometheus.GaugeValue}
}

func count(name, help string, labels ...string) gauge {
	g := describe(name, help, labels...)
	g.kind = prometheus.CounterValue
	return g
}

var (
	indexDocuments = describe("index_documents", "Documents of the generation that serves.")
	indexPassages  = describe("index_passages", "Passages of the generation that serves.")
	indexDisk      = describe("index_disk_bytes", "Bytes that the index takes on disk.")

	quarantined = describe("quarantined_documents", "Documents that could not be read and lie in quarantine.")
	diskFree    = describe("disk_free_bytes", "Bytes that are free where the data folder lies.")
	diskFloor   = describe("disk_floor_bytes", "Bytes that the box keeps free: below, nothing new is built.")

	diskSize   = describe("disk_size_bytes", "Bytes of the disk that the data folder lies on.")
	diskBytes  = describe("disk_used_bytes", "Bytes that the data folder takes, by kind, as they were measured last.", "kind")
	diskBudget = describe("disk_budget_bytes", "Bytes that a kind may take.", "kind")

	clockSound = describe("clock_sound", "0 where the clock has jumped less than a day ago or can't be right.")

	linkConnected = describe("link_connected", "1 where the link to the centre is up; only of a box that is enrolled.")
	spoolWaiting  = describe("spool_waiting", "Reports that wait for the centre.")

	cacheKept        = describe("cache_records", "Answers and vectors of questions that are kept.", "kind")
	cacheBytes       = describe("cache_bytes", "Bytes of them on disk.")
	cacheLooked      = count("cache_requests_total", "Times that the cache was asked, by whether it had what was asked for.", "kind", "found")
	cacheInvalidated = count("cache_invalidated_total", "Answers let go because a document that they rest on was changed or withdrawn.")
	cacheCompared    = count("cache_compared_total", "Answers compared with a later generation, by whether they stood.", "same")
	cacheEvicted     = count("cache_evicted_total", "Records let go for room.")
	cacheDamaged     = count("cache_damaged_total", "Records that could not be read.")

	feedbackRecords = describe("feedback_records", "Items of feedback that are kept.")

	modelReady    = describe("model_ready", "1 where the model's engine answers.", "model")
	modelRestarts = count("model_restarts_total", "Times that the model's engine was started again since it was loaded.", "model")
	modelRunning  = describe("model_requests_running", "Requests at the engine.", "model")
	modelWaiting  = describe("model_requests_waiting", "Requests in the queue before the engine.", "model")
	modelMemory   = describe("model_memory_bytes", "Bytes of the machine's memory that the engine holds.", "model")

	ladderStep    = describe("ladder_step", "Step of the ladder that spares the cards; 0 is normal, 5 answers without a model.")
	ladderChanges = count("ladder_changes_total", "Changes of the ladder's step.")
	gpuUnread     = describe("gpu_unreadable", "1 where the latest reading of the cards failed.")
	gpuXIDs       = count("gpu_xid_total", "Faults that the driver reported, by what mends them.", "effect")

	gpuMemoryUsed  = describe("gpu_memory_used_bytes", "Used memory of the card.", "card")
	gpuMemoryTotal = describe("gpu_memory_total_bytes", "Memory of the card.", "card")
	gpuTemperature = describe("gpu_temperature_celsius", "Temperature of the card.", "card")
	gpuSlowdown    = describe("gpu_slowdown_celsius", "Temperature at which the card slows down.", "card")
	gpuPower       = describe("gpu_power_watts", "Power that the card draws.", "card")
	gpuPowerLimit  = describe("gpu_power_limit_watts", "Power limit of the card.", "card")
	gpuBusy        = describe("gpu_utilisation_ratio", "Part of the last period in which the card computed.", "card")
	gpuClock       = describe("gpu_clock_hertz", "Clock of the card's processors.", "card")
	gpuThrottled   = describe("gpu_throttled", "1 where heat or a lack of power holds the clocks.", "card")
	gpuECC         = count("gpu_ecc_errors_total", "Memory errors since the driver was loaded.", "card", "kind")
	gpuRemapped    = describe("gpu_remapped_rows", "Memory rows that were replaced by spare ones.", "card", "kind")
	gpuFault       = describe("gpu_fault", "1 where the card can't be used.", "card")
)

// Describe implements prometheus.Collector; what it collects depends on the machine.
func (g *gauges) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (g *gauges) Collect(out chan<- prometheus.Metric) {
	put := func(d gauge, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d.Desc, d.kind, v, labels...)
	}
	if st := g.b.Index.Stats(); st.Generation.Name != "" {
		put(indexDocuments, float64(st.Generation.Documents))
		put(indexPassages, float64(st.Generation.Passages))
		put(indexDisk, float64(st.DiskBytes))
	}
	if c := g.b.cache; c != nil {
		st := c.Stats()
		put(cacheKept, float64(st.Answers), "answer")
		put(cacheKept, float64(st.Embeddings), "embedding")
		put(cacheBytes, float64(st.Bytes))
		put(cacheLooked, float64(st.AnswerHits), "answer", "yes")
		put(cacheLooked, float64(st.AnswerMisses), "answer", "no")
		put(cacheLooked, float64(st.EmbeddingHits), "embedding", "yes")
		put(cacheLooked, float64(st.EmbeddingMisses), "embedding", "no")
		put(cacheInvalidated, float64(st.Invalidated))
		put(cacheCompared, float64(st.Confirmed), "yes")
		put(cacheCompared, float64(st.Outdated), "no")
		put(cacheEvicted, float64(st.Evicted))
		put(cacheDamaged, float64(st.Damaged))
	}
	if t := g.b.told(); t != nil {
		t.collect(put)
	}
	if n, err := g.b.Quarantine.Count(); err == nil {
		put(quarantined, float64(n))
	}
	d := g.b.stationDisk()
	put(diskFree, float64(d.Free))
	put(diskSize, float64(d.Size))
	put(diskFloor, float64(d.Floor))
	for _, l := range d.Kinds {
		put(diskBytes, float64(l.Bytes), string(l.Kind))
		if l.Budget > 0 {
			put(diskBudget, float64(l.Budget), string(l.Kind))
		}
	}
	put(clockSound, yes(g.b.clock.Sound()))
	if st, err := g.b.SyncStatus(context.Background()); err == nil && st.Uplink != nil {
		put(linkConnected, yes(st.Uplink.Connected))
		put(spoolWaiting, float64(st.Uplink.Waiting.Messages))
	}
	kept, _ := g.b.Feedback.Counts()
	put(feedbackRecords, float64(kept))
	for _, m := range g.b.Models.States() {
		put(modelReady, yes(m.PID > 0 && m.Phase == "ready"), m.Model)
		put(modelRestarts, float64(m.Restarts), m.Model)
		put(modelRunning, float64(m.Running), m.Model)
		put(modelWaiting, float64(m.Waiting), m.Model)
		put(modelMemory, float64(m.Resident), m.Model)
	}
	st, watched := g.b.cards.state(g.b.Models)
	if !watched {
		return
	}
	put(ladderStep, float64(st.Step-ladder.Normal))
	c := &g.b.cards
	c.mu.Lock()
	defer c.mu.Unlock()
	put(ladderChanges, float64(c.changes))
	put(gpuUnread, yes(c.fault != ""))
	for _, e := range []gpu.Effect{gpu.EffectNote, gpu.EffectProcess, gpu.EffectReset, gpu.EffectLost} {
		put(gpuXIDs, float64(c.xids[e]), string(e))
	}
	if c.snap != nil {
		for _, card := range c.snap.Cards {
			collectCard(put, card)
		}
	}
}

// collectCard leaves out what the card does not report.
func collectCard(put func(gauge, float64, ...string), c gpu.Card) {
	id := strconv.Itoa(c.Index)
	if m := c.Memory; m != nil {
		put(gpuMemoryUsed, float64(m.Used), id)
		put(gpuMemoryTotal, float64(m.Total), id)
	}
	whole := func(d gauge, v *int, times float64) {
		if v != nil {
			put(d, float64(*v)*times, id)
		}
	}
	whole(gpuTemperature, c.Temperature.Now, 1)
	whole(gpuSlowdown, c.Temperature.Slowdown, 1)
	whole(gpuClock, c.Clocks.Graphics, 1e6)
	real := func(d gauge, v *float64) {
		if v != nil {
			put(d, *v, id)
		}
	}
	real(gpuPower, c.Power.Draw)
	real(gpuPowerLimit, c.Power.Limit)
	if u := c.Utilisation; u != nil {
		put(gpuBusy, float64(u.GPU)/100, id)
	}
	_, held := c.Clocks.Throttled()
	put(gpuThrottled, yes(held), id)
	if e := c.ECC; e != nil {
		for kind, n := range map[string]*uint64{"corrected": e.Corrected, "uncorrected": e.Uncorrected} {
			if n != nil {
				put(gpuECC, float64(*n), id, kind)
			}
		}
	}
	if r := c.Remapped; r != nil {
		put(gpuRemapped, float64(r.Corrected), id, "corrected")
		put(gpuRemapped, float64(r.Uncorrected), id, "uncorrected")
	}
	put(gpuFault, yes(c.Fault != ""), id)
}

func yes(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
