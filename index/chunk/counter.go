package chunk

// ConservativeCounter estimates WordPiece tokens from above, for when no
// vocabulary is loaded.
type ConservativeCounter struct{}

// Count returns an upper estimate.
func (ConservativeCounter) Count(text string) int { return (len(text) + 1) / 2 }
