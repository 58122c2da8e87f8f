package spool

import (
	"context"
	"time"
)

// Reopen the store, as after a disk that was full.
func (s *Spool) Reopen() bool {
	s.mu.Lock()
	s.reopened = time.Time{}
	s.mu.Unlock()
	return s.heal(true)
}

// Asked says whether somebody waits for a message of the store that is open now.
func (s *Spool) Asked(ctx context.Context) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	i, err := s.cons.Info(ctx)
	return err == nil && i.NumWaiting > 0
}
