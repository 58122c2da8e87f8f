package main

import (
	"context"
	"errors"
	"fmt"

	"rxedge/centre/flow"
	"rxedge/centre/library"
	"rxedge/centre/review"
	"rxedge/daemon/answer"
	"rxedge/daemon/backup"
	"rxedge/daemon/box"
	"rxedge/daemon/control"
	"rxedge/daemon/feedback"
	"rxedge/daemon/health"
	"rxedge/daemon/rollout"
	"rxedge/daemon/schema"
	"rxedge/daemon/store"
	"rxedge/daemon/upgrade"
	"rxedge/index"
	"rxedge/inference"
	"rxedge/sync/bundle"
	"rxedge/sync/central"
	"rxedge/sync/enroll"
)

// Exit codes. They are part of the interface.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitUnreachable = 3
	exitRefused     = 4
	exitNotFound    = 5
)

// usageError is a command that was typed wrongly.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usage(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// refusedError is a check that said no; what it found has been printed.
type refusedError struct{ reason string }

func (e *refusedError) Error() string { return e.reason }

// exit prints err with its mend and returns its code.
func (a *app) exit(ctx context.Context, err error) int {
	if err == nil {
		return exitDone
	}
	code, fix := classify(err)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		fmt.Fprintln(a.err, "rxedge: stopped; nothing was half applied")
		return exitFailed
	}
	fmt.Fprintln(a.err, "rxedge:", err)
	if fix != "" {
		fmt.Fprintln(a.err, " ", fix)
	}
	return code
}

func classify(err error) (code int, fix string) {
	var (
		use     *usageError
		refused *refusedError
		held    *box.HeldError
		invalid *answer.InvalidError
		filter  *index.FilterError
		item    *feedback.InvalidError
		bundled *bundle.Error
		claim   *enroll.RefusedError
		flowing *flow.HeldError
		notNow  *central.NotNowError
		decided *central.DecidedError

		damaged  *backup.DamagedError
		newer    *backup.NewerError
		notEmpty *backup.NotEmptyError
		noRoom   *backup.NoRoomError
		stopped  *stoppedError
	)
	if f, is := box.Refusal(err); is {
		if f.Code == health.DataNewer.Code || f.Code == health.MigrationFailed.Code {
			return exitRefused, "" // it says so itself
		}
		return exitRefused, "Mend: " + f.Fix
	}
	switch {
	case errors.As(err, &use), errors.As(err, &invalid), errors.As(err, &filter) && !filter.Unknown, errors.As(err, &item):
		return exitUsage, ""
	case errors.As(err, &refused):
		return exitRefused, ""
	case errors.As(err, &stopped):
		return exitUnreachable, ""
	case errors.As(err, &bundled), errors.As(err, &claim), errors.Is(err, central.ErrExists), errors.Is(err, central.ErrRoot), errors.Is(err, central.ErrSiteExists):
		return exitRefused, ""
	case errors.As(err, &flowing), errors.Is(err, flow.ErrOther), errors.Is(err, flow.ErrNotKept), errors.Is(err, library.ErrNewer):
		return exitRefused, ""
	case errors.Is(err, flow.ErrNoLetter):
		return exitNotFound, "'rxedge central ingest dead' lists them."
	case errors.Is(err, flow.ErrNoBus):
		return exitUnreachable, "Start 'rxedge central ingest' first, or name the bus with --hub."
	case rollout.Refused(err):
		return exitRefused, ""
	case errors.As(err, &notNow), errors.As(err, &decided), errors.Is(err, central.ErrTaking), errors.Is(err, central.ErrFleetLog), errors.Is(err, central.ErrRolloutOpen), errors.Is(err, central.ErrController), errors.Is(err, central.ErrAudit):
		return exitRefused, ""
	case errors.As(err, &damaged), errors.As(err, &newer), errors.As(err, &notEmpty), errors.As(err, &noRoom), errors.Is(err, backup.ErrNotBackup), errors.Is(err, box.ErrClear), errors.Is(err, backup.ErrPassphrase):
		return exitRefused, ""
	case errors.Is(err, backup.ErrNothingAside):
		return exitNotFound, ""
	case errors.Is(err, box.ErrEncryption), errors.Is(err, schema.ErrKept):
		return exitRefused, ""
	case errors.Is(err, upgrade.ErrNoRelease):
		return exitNotFound, ""
	case errors.Is(err, upgrade.ErrExists), errors.Is(err, upgrade.ErrRuns), errors.Is(err, upgrade.ErrNothing):
		return exitRefused, ""
	case errors.Is(err, upgrade.ErrBad):
		return exitRefused, "'--again' tries it once more."
	case errors.Is(err, library.ErrState), errors.Is(err, library.ErrOlder), errors.Is(err, library.ErrChanged), errors.Is(err, library.ErrNewer), errors.Is(err, review.ErrUnsigned):
		return exitRefused, ""
	case errors.Is(err, library.ErrNotFound):
		return exitNotFound, ""
	case errors.Is(err, central.ErrNoFolder):
		return exitNotFound, "Name its folder with --dir, or RXEDGE_CENTRAL."
	case errors.Is(err, central.ErrNoSite), errors.Is(err, central.ErrNoRollout), errors.Is(err, central.ErrNoMatter), errors.Is(err, enroll.ErrNotEnrolled):
		return exitNotFound, ""
	case errors.Is(err, box.ErrSyncOff):
		return exitUnreachable, "'rxedge bundle import FILE' works without it."
	case errors.As(err, &held):
		return exitUnreachable, "If that is rxedged it is starting or stopping: try again in a moment. If it is another rxedge command, wait for it."
	case errors.Is(err, control.ErrUnreachable):
		return exitUnreachable, "Is rxedged running? 'make run' starts it in a checkout."
	case errors.Is(err, index.ErrNotFound), errors.Is(err, inference.ErrModelNotFound), errors.Is(err, errNotFound), errors.Is(err, feedback.ErrUnknownAnswer):
		return exitNotFound, ""
	case errors.Is(err, store.ErrNoRoom), errors.Is(err, index.ErrNoRoom), errors.Is(err, index.ErrNoEmbedder), errors.Is(err, index.ErrReembedding):
		return exitRefused, ""
	case errors.Is(err, index.ErrNoEarlier), errors.Is(err, feedback.ErrConflict), errors.Is(err, feedback.ErrFull):
		return exitRefused, ""
	}
	return exitFailed, ""
}
