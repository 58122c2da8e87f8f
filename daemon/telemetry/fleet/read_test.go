package fleet

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"rxedge/daemon/telemetry"
	"rxedge/daemon/telemetry/monitor"
	"rxedge/daemon/telemetry/telemetrytest"
)

func TestReadAsSent(t *testing.T) {
	t.Parallel()
	w := telemetrytest.Month(1, nil)[0]
	raw, err := w.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ReadWindow(raw); !errors.Is(err, ErrUncovered) {
		t.Error("as it was counted:", err)
	}
	out, _, err := w.Release(nil)
	if err != nil {
		t.Fatal(err)
	}
	sent, err := out.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ReadWindow(sent); err != nil || got.Questions != w.Questions {
		t.Error(got, err)
	}
	sent[20]++
	if _, err := ReadWindow(sent); !errors.Is(err, telemetry.ErrDamaged) {
		t.Error(err)
	}
	a := monitor.Open{Alarm: monitor.Alarm{Kind: monitor.DataDrift, Level: monitor.Act, Feature: "class", By: "class", Value: "glp-1-agonist", Figure: 0.4, N: 400, Text: "class moved"}, Since: time.Now(), Seen: time.Now(), Days: 1}
	b, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ReadAlarm(b); err != nil || got.Value != "glp-1-agonist" || got.Days != 1 {
		t.Error(got, err)
	}
}

func FuzzReadAlarm(f *testing.F) {
	for _, s := range []string{"", "{}", `{"kind":"data_drift","feature":"class","n":400}`, `{"kind":"a","feature":"b","n":400,"value":"\u001b[2J"}`, `{"kind":"a","feature":"b","n":400}{}`, `{"patient":"x"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := ReadAlarm(b)
		if err != nil {
			return
		}
		if o.N < telemetry.LeastCell || !printable(o.Text+o.Kind+o.Value) {
			t.Errorf("%+v", o)
		}
		if out, err := json.Marshal(o); err != nil {
			t.Error(err)
		} else if _, err := ReadAlarm(out); err != nil && len(out) < mostAlarm {
			t.Errorf("%s: %v", out, err)
		}
	})
}
