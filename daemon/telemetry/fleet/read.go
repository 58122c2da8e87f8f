package fleet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"rxedge/daemon/telemetry"
	"rxedge/daemon/telemetry/monitor"
)

// ErrUncovered: a window tells of fewer than eleven questions, which none that left a
// box as it should does.
var ErrUncovered = fmt.Errorf("it tells of fewer than %d questions", telemetry.LeastCell)

// ReadWindow of a site; a cohort that is called by what is no short word is counted
// among the others. The error is telemetry.ErrDamaged, telemetry.ErrSchema or
// ErrUncovered.
func ReadWindow(b []byte) (*telemetry.Window, error) {
	w, err := telemetry.UnmarshalWindow(b)
	if err == nil && !w.Covered() {
		err = ErrUncovered
	}
	if err == nil {
		w.ForgetNames()
	}
	return w, err
}

// Most that an alarm and a word of it may have, in bytes.
const (
	mostAlarm = 8 << 10
	mostWord  = 200
	mostText  = 600
)

var errAlarm = errors.New("this is no alarm of a site")

// ReadAlarm of a site, and believe nothing of it.
func ReadAlarm(b []byte) (monitor.Open, error) {
	var o monitor.Open
	if len(b) > mostAlarm {
		return o, fmt.Errorf("%w: it has %d bytes", errAlarm, len(b))
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		return o, fmt.Errorf("%w: %w", errAlarm, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return o, fmt.Errorf("%w: something follows it", errAlarm)
	}
	for _, s := range []string{o.Kind, o.Level, o.Feature, o.By, o.Value} {
		if len(s) > mostWord || !printable(s) {
			return o, fmt.Errorf("%w: a word of it is none", errAlarm)
		}
	}
	if o.Kind == "" || o.Feature == "" || o.N < telemetry.LeastCell || len(o.Text) > mostText || !printable(o.Text) {
		return o, fmt.Errorf("%w: something is missing, or too long", errAlarm)
	}
	return o, nil
}

func printable(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}
