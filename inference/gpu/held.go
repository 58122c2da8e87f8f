package gpu

import "strings"

// Held is a reason why the clocks are below their maximum.
type Held string

// Reasons, as NVML's nvmlClocksEventReason* name them.
const (
	HeldIdle         Held = "idle"
	HeldSetting      Held = "clock_setting"    // someone set application clocks
	HeldPowerCap     Held = "power_cap"        // software power limit
	HeldSlowdown     Held = "hardware"         // thermal, power brake or too little power
	HeldSyncBoost    Held = "sync_boost"       //
	HeldThermal      Held = "thermal"          // the driver keeps the temperature down
	HeldThermalHW    Held = "thermal_hardware" // the card does, harder
	HeldPowerBrake   Held = "power_brake"      // the board's supply asked for it
	HeldDisplay      Held = "display_setting"  //
	HeldBoardLimit   Held = "board_limit"      //
	HeldReliability  Held = "reliability"      //
	heldUnknown      Held = "unknown"          //
	knownHeldReasons      = 11                 // bits
)

// The bits of nvmlClocksEventReasons, from the lowest.
var heldBits = [knownHeldReasons]Held{HeldIdle, HeldSetting, HeldPowerCap, HeldSlowdown, HeldSyncBoost, HeldThermal,
	HeldThermalHW, HeldPowerBrake, HeldDisplay, HeldBoardLimit, HeldReliability}

// held lists the reasons of NVML's mask.
func held(mask uint64) []Held {
	var out []Held
	for i, h := range heldBits {
		if mask&(1<<i) != 0 {
			out = append(out, h)
		}
	}
	if mask>>knownHeldReasons != 0 {
		out = append(out, heldUnknown)
	}
	return out
}

// Throttled tells whether heat or a lack of power holds the clocks, as opposed
// to idleness, a setting or the power limit that the card is sold with.
func (c Clocks) Throttled() (Held, bool) {
	for _, h := range c.Held {
		switch h {
		case HeldThermal, HeldThermalHW, HeldSlowdown, HeldPowerBrake:
			return h, true
		}
	}
	return "", false
}

// Text is the reason in words for people.
func (h Held) Text() string { return strings.ReplaceAll(string(h), "_", " ") }
