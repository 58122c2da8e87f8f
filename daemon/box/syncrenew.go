package box

import (
	"context"
	"fmt"

	"rxedge/sync/enroll"
	"rxedge/sync/uplink"
)

// uplinkOptions of the site; sync.mu is held.
func (b *Box) uplinkOptions() uplink.Options {
	s := &b.sync
	return uplink.Options{Identity: s.id, Spool: s.spool, Proxy: b.Config.Sync.Proxy, Now: s.receiver.Now, News: s.wake, Log: b.log}
}

// renewIdentity asks for a new certificate and JWT where a third of their time is
// left, and goes on with them. They are on disk before they are used.
func (b *Box) renewIdentity(ctx context.Context) error {
	s := &b.sync
	s.mu.Lock()
	id, u := s.id, s.uplink
	s.mu.Unlock()
	if id == nil || u == nil || !u.Status(ctx).Connected {
		return nil
	}
	now := SyncClock()
	if due, err := id.Due(now); err != nil || !due {
		return err
	}
	q, err := id.RenewRequest()
	if err != nil {
		return err
	}
	reply, err := u.Ask(ctx, enroll.RenewSubject(id.Site), q)
	if err != nil {
		return fmt.Errorf("asking for a new certificate: %w", err)
	}
	fresh, err := id.Renewed(reply, now)
	if err != nil {
		return err
	}
	if err := fresh.Save(b.syncDir(), b.keys.Files()); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.uplink != u {
		return nil // closed meanwhile
	}
	s.id = fresh
	u.Close()
	s.uplink = nil
	if s.uplink, err = uplink.Start(b.uplinkOptions()); err != nil {
		s.uplink = nil
		return fmt.Errorf("connecting with the new certificate: %w", err)
	}
	_, until, _ := fresh.Expires()
	b.log.Info("this site has a new certificate", "until", until.UTC())
	return nil
}
