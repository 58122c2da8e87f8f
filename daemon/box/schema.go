package box

import (
	"context"
	"errors"
	"sync"

	"rxedge/daemon/feedback"
	"rxedge/daemon/health"
	"rxedge/daemon/keyring"
	"rxedge/daemon/schema"
	"rxedge/daemon/store"
	"rxedge/daemon/telemetry"
	"rxedge/index"
)

// Stores of a data folder that older releases may not be able to read. A format is
// raised with what changes it, and then the store is kept as it was. A test raises one.
var Stores = map[string]schema.Store{
	"index":     {Path: "index", Format: index.Format},
	"telemetry": {Path: "telemetry", Format: telemetry.Schema},
	"feedback":  {Path: "feedback", Format: feedback.Format},
}

// schemaOf is the layout of the open folder.
type schemaOf struct {
	mu sync.Mutex
	s  *schema.Schema // nil: the folder was not opened
}

func (b *Box) openSchema(ctx context.Context) error {
	s, err := schema.Prepare(ctx, b.Config.Data, schema.Options{Program: Version, Stores: Stores, Free: DiskFree, Log: b.log})
	if err != nil {
		return err
	}
	b.schema.s = s
	return nil
}

// ConfirmSchema says that this release serves and stays: what it changed of the data
// folder is not taken back any more.
func (b *Box) ConfirmSchema() error {
	b.schema.mu.Lock()
	defer b.schema.mu.Unlock()
	return b.schema.s.Confirm(b.unclean == "")
}

// Layout of the data folder.
func (b *Box) Layout() *schema.Report {
	b.schema.mu.Lock()
	defer b.schema.mu.Unlock()
	if b.schema.s == nil {
		return &schema.Report{}
	}
	r := b.schema.s.Report()
	return &r
}

func schemaConditions(r *schema.Report) []health.Finding {
	var found []health.Finding
	for _, k := range r.Kept {
		until := "until the next start that is clean"
		if !k.Confirmed {
			until = "until this release is confirmed and the next start is clean"
		}
		found = append(found, health.MigrationKept.Found("%s, on %s; what was there before takes %d MB and stays %s", k.What, k.At.Local().Format("2006-01-02 15:04"), k.Bytes/1e6, until))
	}
	if r.Note != "" {
		found = append(found, health.MigrationTakenBack.Found("%s", r.Note))
	}
	return found
}

// Refusal says which condition keeps a data folder from being opened, of the error that
// Open gave; ok is false for others.
func Refusal(err error) (f health.Finding, ok bool) {
	var newer *schema.NewerError
	var failed *schema.MigrationError
	switch {
	case errors.As(err, &newer):
		return health.DataNewer.Found("%v", newer).Mend("'rxedge service use " + newer.Needs + "', and restart"), true
	case errors.As(err, &failed):
		return health.MigrationFailed.Found("%v", failed), true
	case errors.Is(err, schema.ErrDamaged):
		return health.DataVersionDamaged.Found("%v", err), true
	case errors.Is(err, keyring.ErrNoKey), errors.Is(err, keyring.ErrKeyFile):
		return health.KeyMissing.Found("%v", err), true
	case errors.Is(err, keyring.ErrWrongKey), errors.Is(err, store.ErrKey):
		return health.KeyWrong.Found("%v", err), true
	case errors.Is(err, keyring.ErrDamaged):
		return health.KeyDamaged.Found("%v", err), true
	}
	return f, false
}
