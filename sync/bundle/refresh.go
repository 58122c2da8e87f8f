package bundle

import "context"

// Refresh brings the signed metadata and the gates, and fetches no bundle. The
// error is an *Error where something was refused; the history has it too.
func (r *Receiver) Refresh(ctx context.Context, src Source) error {
	select {
	case r.pulling <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-r.pulling }()
	err := r.trust.refresh(ctx, src)
	if err == nil {
		err = r.refreshGates(ctx, src)
	}
	if err != nil {
		r.refused(0, err)
	}
	return err
}
