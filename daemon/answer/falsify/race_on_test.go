//go:build race

package falsify

const raceEnabled = true
