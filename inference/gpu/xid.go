package gpu

import (
	"fmt"
	"time"
)

// XID is a fault that the driver reported.
type XID struct {
	At   time.Time `json:"at"`
	Code uint64    `json:"code"`
	Card int       `json:"card"` // index; -1 where the driver did not say
	UUID string    `json:"uuid,omitempty"`
}

// Effect of an XID, by what mends it.
type Effect string

// Effects, from harmless to a lost card.
const (
	EffectNote    Effect = "note"    // counted, nothing to do
	EffectProcess Effect = "process" // the process is gone or must be restarted
	EffectReset   Effect = "reset"   // the card must be reset or the machine restarted
	EffectLost    Effect = "lost"    // the card is off the bus or broken
)

type xidMeaning struct {
	text   string
	effect Effect
}

// From NVIDIA's list of XID errors ("XID Errors", GPU deployment and
// management documentation). What is not listed is taken for a process's fault.
var xids = map[uint64]xidMeaning{
	8:   {"the card stopped processing", EffectProcess},
	13:  {"graphics engine exception", EffectProcess},
	31:  {"memory page fault", EffectProcess},
	32:  {"invalid or corrupted push buffer", EffectProcess},
	38:  {"driver firmware error", EffectProcess},
	43:  {"the card stopped processing", EffectProcess},
	45:  {"work was removed after an earlier fault", EffectProcess},
	48:  {"double-bit ECC error", EffectReset},
	61:  {"internal micro-controller breakpoint", EffectReset},
	62:  {"internal micro-controller halt", EffectReset},
	63:  {"a memory row was remapped", EffectNote},
	64:  {"a memory row could not be remapped", EffectReset},
	68:  {"video processor exception", EffectProcess},
	69:  {"graphics engine class error", EffectProcess},
	74:  {"NVLink error", EffectReset},
	79:  {"the card has fallen off the bus", EffectLost},
	92:  {"many single-bit ECC errors", EffectNote},
	94:  {"a contained ECC error", EffectProcess},
	95:  {"an uncontained ECC error", EffectReset},
	109: {"context switch timed out", EffectProcess},
	110: {"security fault", EffectReset},
	119: {"the card's system processor timed out", EffectReset},
	120: {"the card's system processor failed", EffectReset},
	121: {"chip-to-chip link error", EffectNote},
	140: {"unrecovered ECC error", EffectReset},
	143: {"the card did not initialise", EffectReset},
	154: {"the card asks for a recovery action", EffectReset},
}

// xidFallenOff is what a card says that is no longer there.
const xidFallenOff = 79

// Effect of the fault.
func (x XID) Effect() Effect {
	if m, ok := xids[x.Code]; ok {
		return m.effect
	}
	return EffectProcess
}

// Text says what happened.
func (x XID) Text() string {
	if m, ok := xids[x.Code]; ok {
		return fmt.Sprintf("XID %d: %s", x.Code, m.text)
	}
	return fmt.Sprintf("XID %d", x.Code)
}
