package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// Whoever adds a setting says what it is for: the help, the manual and 'rxedge config'
// are made of it.
func TestEverySettingIsDescribed(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, s := range Settings() {
		if len(strings.Fields(s.Meaning)) < 2 && !(s.Repeated && s.Meaning != "") {
			t.Errorf("%s has no description (%q): write one beside its field in daemon/config", s.Key, s.Meaning)
		}
		if seen[s.Key] {
			t.Errorf("%s is there twice", s.Key)
		}
		seen[s.Key] = true
	}
	if len(seen) < 40 {
		t.Errorf("only %d settings", len(seen))
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{"answer.pasages": "answer.passages", "timeout": "answer.timeout", "answers.timeout": "answer.timeout",
		"model.profil": "model.profile", "model.disk_floor_mb": "index.disk_floor_mb", "zzz": "", "": ""} {
		if got := Nearest(given); got != want {
			t.Errorf("%q: %q, want %q", given, got, want)
		}
	}
}

func TestExamine(t *testing.T) {
	t.Parallel()
	text := "listen = \"0.0.0.0:80\"\nlissten = 1\n[answer]\n  passages = 0\nguard = \"off\"\n[log]\nlevl = \"info\"\nformat = 3\n"
	_, faults := Examine("f.toml", []byte(text))
	var got []string
	for _, f := range faults {
		got = append(got, f.Error())
	}
	want := []string{
		`line 1: listen: "0.0.0.0" is not a loopback address; rxedge answers on this machine alone, use 127.0.0.1`,
		`line 2, column 1: there is no setting "lissten"; did you mean "listen"? see 'rxedge config --help' for those there are`,
		`line 4: answer.passages: 0 is outside 1 to 100`,
		`line 5: answer.guard: "off" is neither tell nor abstain`,
		`line 7, column 1: there is no setting "log.levl"; did you mean "log.level"? see 'rxedge config --help' for those there are`,
		`line 8, column 10: log.format: it is to be text, in quotation marks: "…"`,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for text, want := range map[string]string{
		"sample = \"yes\"\n":                                   "line 1, column 10: sample: it is to be true or false, without quotation marks",
		"[answer]\npassages = \"3\"\n":                         "answer.passages: it is to be a whole number, without quotation marks",
		"[answer]\npassages = 3.5\n":                           "answer.passages: it is to be a whole number, without quotation marks",
		"[answer]\ntimeout = 3\n":                              "answer.timeout: it is to be a duration, such as 30s, 5m or 24h, in quotation marks",
		"[log]\nlevel = 3\n":                                   "log.level: it is to be text, in quotation marks",
		"[log]\nlevel = info\n":                                "texts stand in quotation marks",
		"[log]\nlevel = \"info\"\nlevel = \"debug\"\n":         "line 3",
		"[[model.adapter]]\n\n[[model.adapter]]\nname=\"a\"\n": "line 1: model.adapter number 1: it needs a name",
	} {
		_, faults := Examine("f.toml", []byte(text))
		if len(faults) == 0 || !strings.Contains(faults[0].Error(), want) {
			t.Errorf("%q: %v, want %s", text, faults, want)
		} else {
			t.Log(faults[0].Error())
		}
	}
	_, faults = Examine("f.toml", []byte("[cache]\nenabled = false\ndisk_mb = 3\n[suite]\nhours = \"01:00-02:00\"\n[[api.client]]\nname=\"x\"\ntoken_file = \"/nowhere/x\"\n"))
	if len(faults) != 3 || !Sound(faults) || faults[0].Key != "cache.disk_mb" || faults[0].Line != 3 || faults[1].Key != "suite.hours" || faults[2].Key != "api.client" {
		t.Errorf("%+v", faults)
	}
}

func TestSet(t *testing.T) {
	t.Parallel()
	template, err := os.ReadFile(filepath.Join("..", "..", "systemd", "rxedge.toml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, text, key, value, want string }{
		{"new file", "", "listen", "127.0.0.1:9000", "listen = \"127.0.0.1:9000\"\n"},
		{"new table", "# mine\nsample = false\n", "answer.passages", "5", "# mine\nsample = false\n\n[answer]\npassages = 5\n"},
		{"in place, with what is behind it", "[answer]\n  passages   =   3   # of three\ntimeout=\"5s\"\n", "answer.passages", "5", "[answer]\n  passages   =   5   # of three\ntimeout=\"5s\"\n"},
		{"after the others", "[answer]\ntimeout = \"5s\" # t\n\n# about the log\n[log]\nlevel = \"info\"\n", "answer.guard", "abstain", "[answer]\ntimeout = \"5s\" # t\nguard = \"abstain\"\n\n# about the log\n[log]\nlevel = \"info\"\n"},
		{"of no table", "# top\n\n# of answers\n[answer]\npassages = 3\n", "sample", "false", "# top\n\nsample = false\n# of answers\n[answer]\npassages = 3\n"},
		{"dotted", "answer.passages = 3\nsample = true\n", "answer.guard", "tell", "answer.passages = 3\nanswer.guard = \"tell\"\nsample = true\n"},
		{"within braces", "answer = { passages = 3, guard = \"tell\" }\n", "answer.passages", "4", "answer = { passages = 4, guard = \"tell\" }\n"},
		{"several lines", "[suite]\nhours = \"01:00-05:00\"\nquestions = \"\"\"\nx = 1\n[answer]\n\"\"\"\n", "suite.hours", "02:00-03:00", "[suite]\nhours = \"02:00-03:00\"\nquestions = \"\"\"\nx = 1\n[answer]\n\"\"\"\n"},
		{"with no end of line", "[answer]\npassages = 3", "answer.guard", "tell", "[answer]\npassages = 3\nguard = \"tell\"\n"},
		{"of a table before repeated ones", "[[api.client]]\nname = \"a\"\ntoken_file = \"b\"\n", "api.rate", "2.5", "[[api.client]]\nname = \"a\"\ntoken_file = \"b\"\n\n[api]\nrate = 2.5\n"},
		{"windows", "[answer]\r\npassages = 3\r\n", "answer.guard", "tell", "[answer]\r\npassages = 3\r\nguard = \"tell\"\r\n"},
		{"quoted", "", "model.generator", `"a b"`, "\n[model]\ngenerator = \"a b\"\n"},
		{"odd text", "", "model.generator", "a\"b\\c\n", "\n[model]\n"},
		{"mends", "[answer]\npassages = 0\n", "answer.passages", "5", "[answer]\npassages = 5\n"},
		{"list", "", "telemetry.cohorts", "child, adult", "cohorts = [\"child\", \"adult\"]\n"},
		{"list as in the file", "", "telemetry.cohorts", "['child']", "cohorts = ['child']\n"},
		{"pointer", "", "model.gpu_layers", "-1", "gpu_layers = -1\n"},
		{"template, under its comment", string(template), "model.generator", "x", "# generator = \"\"           # a model of 'rxedge model list'; \"\": the labels' own sentences\ngenerator = \"x\"\n"},
		{"template, of no table", string(template), "sample", "false", "until the first real documents come\nsample = false\n"},
	} {
		out, err := Set("f.toml", []byte(c.text), c.key, c.value)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := string(out); got != c.want && (c.text != "" && !strings.HasPrefix(c.name, "template") || !strings.Contains("\n"+got, c.want)) {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.want)
		}
		back, err := Unset("f.toml", out, c.key)
		if err == nil && c.text != "" && c.name == "after the others" && string(back) != c.text {
			t.Errorf("%s, taken back:\n%s", c.name, back)
		}
	}
	for _, c := range []struct{ text, key, value, want string }{
		{"", "answer.pasages", "3", `there is no such setting: "answer.pasages"; did you mean "answer.passages"?`},
		{"", "answer.passages", "300", "answer.passages: 300 is outside 1 to 100"},
		{"", "answer.passages", "many", `"many" is no whole number`},
		{"", "sample", "yes", `"yes" is neither true nor false`},
		{"", "answer.timeout", "soon", `"soon" is not a duration`},
		{"", "api.client", "x", "by hand"},
		{"", "api.client.name", "x", "by hand"},
		{"answer = {}\n", "answer.passages", "3", "line 1 holds the whole table"},
		{"[answer]\npassages = 0\n", "answer.guard", "tell", "answer.passages: 0 is outside"},
		{"[answer\n", "answer.guard", "tell", "line 1"},
		{"", "telemetry.cohorts", "Mrs Miller", "telemetry.cohorts: \"Mrs Miller\": use a short name"},
		{"", "telemetry.cohorts", "[\"a\"]\n[answer]\npassages = 3", "by hand"},
		{"", "suite.questions", "q.jsonl", "suite.hours: it is missing"},
	} {
		_, err := Set("f.toml", []byte(c.text), c.key, c.value)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q %s=%s: %v, want %s", c.text, c.key, c.value, err, c.want)
		}
	}
}

func TestValuesHoldNoSecret(t *testing.T) {
	t.Parallel()
	c := Default()
	if err := c.decode("f.toml", []byte("[sync]\nproxy = \"http://u:hunter2@proxy:3128\"\n[model]\nmirror = \"https://u:hunter2@m/x\"\n[[api.client]]\nname=\"ehr\"\ntoken_file=\"token_ehr\"\n")); err != nil {
		t.Fatal(err)
	}
	a, b := c.Values([]byte("k")), c.Values([]byte("l"))
	for i, v := range a {
		if strings.Contains(v.Value+v.Where+v.Secret, "hunter2") {
			t.Errorf("%+v", v)
		}
		if v.Key == "sync.proxy" && (v.Value != `"http://u:xxxxx@proxy:3128"` || v.Secret == "" || v.Secret == b[i].Secret || v.Where != "f.toml:2") {
			t.Errorf("%+v", v)
		}
		if v.Key == "api.client" && v.Value != `[{ name = "ehr", token_file = "token_ehr" }]` {
			t.Errorf("%+v", v)
		}
	}
}

// FuzzSet: whatever stands in the file and is set, the result is refused, or it is sound,
// says what was set, nothing else otherwise, and has all comments.
func FuzzSet(f *testing.F) {
	for _, text := range []string{"", "listen = \"127.0.0.1:1\" # c\n[answer]\npassages = 3\n", "answer.passages=3\r\n#x\r\n", "answer = {passages=3}", "[[api.client]]\nname=\"a\"\ntoken_file='b'\n[api]\n# rate = 1\n", "[model]\nmirror=\"\"\"\n# generator = 1\n\"\"\"\n"} {
		for i, s := range listed() {
			if i%7 == 0 {
				f.Add(text, s.Key, "5")
				f.Add(text, s.Key, "5m")
			}
		}
	}
	f.Fuzz(func(t *testing.T, text, key, value string) {
		was, before := Examine("f.toml", []byte(text))
		out, err := Set("f.toml", []byte(text), key, value)
		if err != nil {
			return
		}
		is, after := Examine("f.toml", out)
		if !Sound(after) {
			t.Fatalf("%q became %q: %v", text, out, after)
		}
		for i, v := range is.Values(nil) {
			if old := was.Values(nil); Sound(before) && v.Key != key && v.Value != old[i].Value {
				t.Fatalf("%q became %q: %s", text, out, v.Key)
			}
		}
		if strings.Count(string(out), "#") < strings.Count(text, "#") && !strings.Contains(value, "#") {
			// a value may have held one
			if l, _ := parseLayout([]byte(text)); l.line(key, 0) == 0 {
				t.Fatalf("%q became %q and lost a comment", text, out)
			}
		}
		if back, err := Unset("f.toml", out, key); err == nil {
			if c, faults := Examine("f.toml", back); !Sound(faults) && Sound(before) || c.origins[key].From == FromFile {
				t.Fatalf("%q, %s unset, became %q: %v", out, key, back, faults)
			}
		}
	})
}

func TestErrNoSetting(t *testing.T) {
	t.Parallel()
	if _, err := Unset("f", nil, "nothing.here"); !errors.Is(err, ErrNoSetting) {
		t.Error(err)
	}
}
