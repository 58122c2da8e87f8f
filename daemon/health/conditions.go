package health

import "time"

// The conditions, causes before their consequences. To add one: register it here, find
// it somewhere, and run 'go test ./daemon/health -update'.
var (
	UncleanStop = register(Condition{
		Code: "unclean-stop", Title: "The last stop was not clean", Severity: Notice,
		Text: "The daemon before was killed, crashed, or lost its power. What was acknowledged is there; the log says what was mended.",
		Fix:  "nothing has to be done; where it happens often, look at the power supply and at 'rxedge log'",
	})
	IndexLost = register(Condition{
		Code: "index-lost", Title: "The documents are lost", Severity: Critical, Within: time.Second,
		Text: "The index is damaged beyond use and nothing is left to answer from, but what was answered before. The sample does not take its place: it is not for clinical use.",
		Fix:  "'rxedge ingest PATH' with the documents, 'rxedge sync pull --retry' where they come from a centre, or 'rxedge restore' of a backup",
	})
	IndexRetreated = register(Condition{
		Code: "index-retreated", Title: "An earlier generation of the index serves", Severity: Error, Within: time.Second,
		Text: "A later one can't be read and is marked as damaged. Answers rest on documents as they were then: what was added or changed since is missing.",
		Fix:  "ingest again what came since, or 'rxedge sync pull --retry'; the next generation that is built ends it",
	})
	IndexMended = register(Condition{
		Code: "index-mended", Title: "The index was mended when it was opened", Severity: Warning,
		Text: "Something of it could not be read and was put right or left out.",
		Fix:  "do what the sentence says, or 'rxedge index rebuild'; it is gone after the next start",
	})
	IndexOldForm = register(Condition{
		Code: "index-old-form", Title: "The index was made otherwise than it would be now", Severity: Warning, Within: time.Second,
		Text: "By an earlier version, with other settings or another embedder. It serves as it is; some of what is searched for is not found, or not by meaning.",
		Fix:  "'rxedge index rebuild'",
	})
	IndexEmbedderMissing = register(Condition{
		Code: "index-embedder-missing", Title: "The index has vectors, and no embedder is there to ask by", Severity: Warning, Within: time.Second,
		Text: "Search is by words alone.",
		Fix:  "'rxedge config set model.embedder builtin', or 'rxedge model pull' the one that is named, then restart",
	})
	IndexSample = register(Condition{
		Code: "index-sample", Title: "Only the sample answers", Severity: Notice, Within: time.Second,
		Text: "Every answer rests on the sample formulary, which is there to try the box with and is not for clinical use.",
		Fix:  "'rxedge ingest PATH' with labels, or 'rxedge enroll FILE' to get those of a centre",
	})
	IndexEmpty = register(Condition{
		Code: "index-empty", Title: "There are no documents", Severity: Warning, Within: time.Second,
		Text: "Every question is answered with \"not in my documents\".",
		Fix:  "'rxedge ingest PATH', or 'rxedge enroll FILE' to get those of a centre",
	})
	Stepped = register(Condition{
		Code: "card-stepped-back", Title: "The box has stepped back to spare the card", Severity: Warning, Within: 30 * time.Second,
		Text: "The card is hot, full or faulty, so models run with less or not at all. Answers are then sentences of the documents.",
		Fix:  "'rxedge gpu' says why; clean the air inlets where it is hot. It ends by itself when the card is well",
	})
	ModelNotReady = register(Condition{
		Code: "model-not-ready", Title: "A model is not ready", Severity: Warning, Within: 30 * time.Second, DependsOn: []*Condition{Stepped},
		Text: "It starts, starts again, or was given up. Until it is ready the box answers without it: without a generator in sentences of the documents, without an embedder by words alone.",
		Fix:  "wait where it starts; 'rxedge doctor' finds what keeps it from it",
	})
	ModelFailed = register(Condition{
		Code: "model-failed", Title: "A model was given up", Severity: Error, Within: 2 * time.Minute, DependsOn: []*Condition{Stepped},
		Text: "Its engine ended or hung several times in a row, or its file is missing. The box answers without it.",
		Fix:  "'rxedge doctor' finds why; then restart",
	})
	ThresholdsOff = register(Condition{
		Code: "thresholds-off", Title: "Thresholds of cohorts are not applied", Severity: Warning, Within: time.Second,
		Text: "They can't be read, or were made for another guard. The guard's own threshold holds for everybody.",
		Fix:  "ask the centre to propose and publish them anew ('rxedge central fleet thresholds')",
	})
	CacheRenewed = register(Condition{
		Code: "cache-renewed", Title: "The cache of answers was begun anew", Severity: Notice,
		Text: "It was damaged. Nothing is lost but time: answers are worked out again.",
		Fix:  "nothing has to be done; it is gone after the next start",
	})
	FeedbackRenewed = register(Condition{
		Code: "feedback-renewed", Title: "The store of feedback was begun anew", Severity: Warning,
		Text: "It was damaged and lies aside; what people said before is not counted any more.",
		Fix:  "'rxedge restore' of a backup where it matters; it is gone after the next start",
	})
	TelemetryRenewed = register(Condition{
		Code: "telemetry-renewed", Title: "Counting began anew", Severity: Warning,
		Text: "The store of telemetry was damaged and lies aside; drift has no baseline until one is learned.",
		Fix:  "'rxedge restore' of a backup where it matters; it is gone after the next start",
	})
	LinkOff = register(Condition{
		Code: "link-off", Title: "The link to the centre is off", Severity: Error,
		Text: "What the site keeps for it can't be opened. Questions are answered; nothing new comes, and reports wait.",
		Fix:  "'rxedge doctor' says what of it is damaged; 'rxedge enroll FILE' with a new file makes the site anew",
	})
)
