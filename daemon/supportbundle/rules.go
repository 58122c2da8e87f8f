package supportbundle

// fields of one kind.
func (r Rules) fields(k kind, paths ...string) Rules {
	for _, p := range paths {
		r[p] = k
	}
	return r
}

// below are the rules of another document at a path.
func (r Rules) below(path string, of Rules) Rules {
	for p, k := range of {
		if p[0] == '[' {
			r[path+p] = k
		} else {
			r[path+"."+p] = k
		}
	}
	return r
}

var (
	severity = one("notice", "warning", "error", "critical")
	phase    = one("idle", "starting", "ready", "restarting", "failed", "closed", "missing")
	slot     = one("staged", "validated", "provisional", "confirmed", "rolled_back")
	op       = one("adopt", "stage", "validate", "approve", "provision", "confirm", "settle", "reject", "rollback", "interrupt", "pin", "unpin")
)

// About the machine and the program.
var About = Rules{}.
	fields(version, "rxedge", "driver").fields(matching(`go[0-9]{1,2}(?:\.[0-9]{1,3}){1,2}`), "go").
	fields(kernel, "kernel").fields(one("amd64", "arm64"), "arch").fields(matching(`(?:debian|ubuntu|fedora|rhel|centos|rocky|almalinux|alpine|arch|opensuse-leap|sles|raspbian)`), "os").
	fields(matching(`[0-9]{1,3}(?:\.[0-9]{1,3}){0,2}`), "os_version").
	fields(number, "cores", "memory_bytes").fields(profile, "profile")

// Status of the box.
var Status = Rules{}.
	fields(boolean, "ready", "dense").fields(version, "version").fields(generation, "generation").fields(moment, "indexed", "started").
	fields(number, "documents", "passages", "reembedding.done", "reembedding.total").fields(one("installed", "missing"), "engine").
	below("generator", modelState).below("embedder", modelState).below("other_models[]", modelState).
	fields(profile, "profile").fields(one("normal", "warn", "smaller_batch", "smaller_context", "cpu_embeddings", "extractive_only"), "step").
	fields(number, "layout.version", "layout.stores.index", "layout.stores.feedback", "layout.stores.telemetry").fields(version, "layout.program").
	fields(backupID, "restored.backup").fields(moment, "restored.created", "restored.restored").fields(version, "restored.rxedge").fields(generation, "restored.generation").fields(boolean, "restored.secrets", "restored.aside").
	fields(number, "cache.bytes", "cache.evicted", "cache.damaged", "cache.invalidated").
	below("conditions[]", Rules{"code": condition, "severity": severity, "since": moment, "because": condition})

var modelState = Rules{"name": model, "phase": phase, "since": moment, "restarts": number, "running": number, "waiting": number, "memory_bytes": number}

// Doctor is a list of what was looked for: codes and outcomes, without the sentence on
// this box.
var Doctor = Rules{}.below("[]", Rules{"code": condition, "outcome": one("ok", "note", "warn", "fail", "skip"), "severity": severity, "because": condition})

// Index is the list of generations.
var Index = Rules{}.below("[]", Rules{"number": number, "name": generation, "parent": generation, "created": moment, "updated": moment, "documents": number, "sections": number, "passages": number,
	"vectors": number, "bytes": number, "update": number, "withdrawn": number, "current": boolean, "candidate": boolean, "embedder.name": model, "embedder.dimension": number, "embedder.sha256": sha256Hex})

// Rollout is the journal: what became of which pair, without who and why.
var Rollout = Rules{}.below("[]", Rules{"seq": number, "at": moment, "op": op, "id": pair, "until": moment, "check": check, "verdict.check": check}.
	below("pair", pairOf).below("from", pairOf).below("back", pairOf))

var pairOf = Rules{"id": pair, "bundle": number, "own": boolean, "generation": generation, "base": generation, "model.name": model, "model.sha256": sha256Hex, "adapter.sha256": sha256Hex, "profile.name": profile}

// check is the name of one, which are ours.
var check = one("abstention_fairness", "citations", "degenerate", "empty", "engine_deaths", "error_rate", "errors", "golden_abstain", "golden_evidence", "golden_ndcg", "golden_numbers", "golden_section", "grounded", "group_disparity",
	"interrupted", "loads", "memory", "opens", "person", "readiness", "replaced", "revoked", "texts_in_place", "verifies")

// Sync is the link to the centre, without the name that the centre gave the site: whoever
// sends a bundle says whose it is.
var Sync = Rules{"enrolled": boolean, "quiet_hours": boolean, "admitted_until": moment,
	"uplink.connected": boolean, "uplink.since": moment, "uplink.code": one("unreachable", "certificate", "not_admitted", "proxy", "dead_line", "ended"), "uplink.attempts": number, "uplink.bytes_in": number, "uplink.bytes_out": number, "uplink.last_ack": moment, "uplink.sent": number}.
	below("bundles.active", bundleHeld).below("bundles.previous", bundleHeld).below("bundles.staged", bundleHeld).
	fields(number, "bundles.known", "uplink.waiting.messages", "uplink.waiting.bytes").fields(moment, "bundles.refreshed", "bundles.expires")

var bundleHeld = Rules{"number": number, "at": moment, "manifest": sha256Hex}

// SyncHistory is what came.
var SyncHistory = Rules{}.below("[]", Rules{"at": moment, "number": number, "state": one("fetching", "staged", "active", "quarantined", "refused", "vectors"), "code": bundleCode, "bytes": number, "took_ms": number})

// bundleCode is why something was refused.
var bundleCode = one("unsigned", "rollback", "replay", "expired", "mixed", "tampered_metadata", "tampered_manifest", "tampered_chunk", "missing_chunk", "missing_metadata", "too_large", "bad_manifest", "bad_content", "wrong_channel",
	"wrong_profile", "needs_rxedge", "needs_schema", "needs_embedder", "downgrade", "no_room", "not_applied", "bad_gate", "not_validated", "rolled_back", "other_embedder", "bad_vectors")

// Cards are the GPUs, without what tells one card of a kind from another.
var Cards = Rules{"driver": version, "cuda": version}.below("cards[]", Rules{"index": number, "name": card, "architecture": one("Kepler", "Maxwell", "Pascal", "Volta", "Turing", "Ampere", "Ada", "Hopper", "Blackwell"), "compute": version,
	"memory.total_bytes": number, "memory.used_bytes": number, "memory.free_bytes": number, "temperature.now_c": number, "temperature.slowdown_c": number, "temperature.shutdown_c": number,
	"clocks.graphics_mhz": number, "clocks.memory_mhz": number, "clocks.max_graphics_mhz": number, "power.now_w": number, "power.limit_w": number, "utilisation.gpu_percent": number, "utilisation.memory_percent": number, "mig": boolean})

// Disk is what the data folder takes, by its rooms.
var Disk = Rules{"free_bytes": number, "rooms[].bytes": number, "rooms[].files": number, "rooms[].room": one(Rooms...)}

// Rooms of the data folder; all else is "other".
var Rooms = []string{"index", "models", "feedback", "telemetry", "cache", "rollout", "sync", "suite", "quarantine", "clients", "changes", "taken-back", "before-restore", "logs", "work", "aside", "other"}

// Stops is how the last stop was.
var Stops = Rules{"unclean": boolean, "kind": one("power", "killed", "unknown"), "ran_since": moment}
