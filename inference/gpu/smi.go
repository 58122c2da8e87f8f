package gpu

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// smiFields are what nvidia-smi is asked for. The ones that are needed come
// first; a driver that does not know one of the others is asked without it.
var smiFields = []string{
	"index", "name", "uuid", "driver_version", "memory.total", "memory.used", "memory.free",
	"compute_cap", "temperature.gpu", "clocks.gr", "clocks.mem", "clocks.max.gr", "clocks.max.mem",
	"clocks_event_reasons.active", "clocks_throttle_reasons.active",
	"power.draw", "enforced.power.limit", "utilization.gpu", "utilization.memory",
	"ecc.mode.current", "ecc.errors.corrected.volatile.total", "ecc.errors.uncorrected.volatile.total",
	"pcie.link.gen.current", "pcie.link.width.current", "pcie.link.gen.max", "pcie.link.width.max", "mig.mode.current",
}

const (
	smiNeeded  = 7
	smiTimeout = 20 * time.Second // the first call after start can take several seconds
	smiLimit   = 1 << 20          // bytes of output that are read
)

// smiSource reads through nvidia-smi.
type smiSource struct {
	run    func(ctx context.Context, args ...string) ([]byte, error)
	now    func() time.Time
	fields []string // that this driver knows
}

func openSMI(ctx context.Context) (Source, error) {
	path, err := exec.LookPath("nvidia-smi")
	if err != nil {
		return nil, &NoGPUError{Reason: NoLibrary}
	}
	return startSMI(ctx, func(ctx context.Context, args ...string) ([]byte, error) { return runSMI(ctx, path, args) })
}

func startSMI(ctx context.Context, run func(context.Context, ...string) ([]byte, error)) (Source, error) {
	s := &smiSource{run: run, now: time.Now, fields: slices.Clone(smiFields)}
	for {
		snap, err := s.Read(ctx)
		if err == nil {
			if len(snap.Cards) == 0 {
				return nil, &NoGPUError{Reason: NoDevice}
			}
			return s, nil
		}
		var unknown *unknownFieldError
		if !errors.As(err, &unknown) {
			return nil, err
		}
		i := slices.Index(s.fields, unknown.field)
		if i < smiNeeded {
			return nil, &NoGPUError{Reason: Unknown, Detail: err.Error()}
		}
		s.fields = slices.Delete(s.fields, i, i+1)
	}
}

func runSMI(ctx context.Context, path string, args []string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(cmd.Environ(), "LC_ALL=C")
	cmd.WaitDelay = time.Second // a process in the driver may outlive its kill
	var out limited
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.b.Bytes(), err
}

// limited keeps the first bytes of what is written to it.
type limited struct{ b bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if n := smiLimit - l.b.Len(); n > 0 {
		l.b.Write(p[:min(n, len(p))])
	}
	return len(p), nil
}

type unknownFieldError struct{ field string }

func (e *unknownFieldError) Error() string {
	return fmt.Sprintf("nvidia-smi does not know the field %q; the driver is too old", e.field)
}

var smiUnknownField = regexp.MustCompile(`Field "([^"]{1,80})" is not a valid field`)

// smiError words a run of nvidia-smi that failed.
func smiError(out []byte, err error) error {
	text := strings.TrimSpace(string(out[:min(len(out), 400)]))
	if m := smiUnknownField.FindStringSubmatch(text); m != nil {
		return &unknownFieldError{m[1]}
	}
	line, _, _ := strings.Cut(text, "\n")
	e := &NoGPUError{Reason: Unknown, Detail: strings.TrimSpace("nvidia-smi: " + err.Error() + ": " + strings.TrimSpace(line))}
	switch {
	case strings.Contains(text, "couldn't communicate with the NVIDIA driver"):
		e.Reason = NoDriver
	case strings.Contains(text, "Driver/library version mismatch"):
		e.Reason = Mismatched
	case strings.Contains(text, "No devices were found"):
		e.Reason = NoDevice
	case strings.Contains(text, "Insufficient Permissions"):
		e.Reason = NoAccess
	}
	return e
}

// Read implements Source.
func (s *smiSource) Read(ctx context.Context) (Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, smiTimeout)
	defer cancel()
	at := s.now().UTC()
	out, err := s.run(ctx, "--query-gpu="+strings.Join(s.fields, ","), "--format=csv,noheader,nounits")
	switch {
	case ctx.Err() != nil:
		return Snapshot{}, ErrHung
	case err != nil:
		return Snapshot{}, smiError(out, err)
	}
	snap, err := parseSMI(out, s.fields)
	if err != nil {
		return Snapshot{}, fmt.Errorf("reading nvidia-smi's output: %w", err)
	}
	snap.At, snap.Source = at, "nvidia-smi"
	// Not every driver and card can tell these; they stay away then.
	if out, err := s.run(ctx, "--query-compute-apps=gpu_uuid,pid,process_name,used_memory", "--format=csv,noheader,nounits"); err == nil {
		addProcesses(&snap, out)
	}
	if out, err := s.run(ctx, "--query-remapped-rows=gpu_uuid,remapped_rows.correctable,remapped_rows.uncorrectable,remapped_rows.pending,remapped_rows.failure", "--format=csv,noheader,nounits"); err == nil {
		addRemapped(&snap, out)
	}
	return snap, nil
}

// XIDs implements Source.
func (*smiSource) XIDs(context.Context) (<-chan XID, error) {
	return nil, fmt.Errorf("XID events from nvidia-smi: %w", ErrUnsupported)
}

// Close implements Source.
func (*smiSource) Close() error { return nil }

// rows reads comma-separated values of a fixed number of columns.
func rows(out []byte, columns int) ([][]string, error) {
	r := csv.NewReader(bytes.NewReader(out))
	r.FieldsPerRecord = columns
	r.TrimLeadingSpace = true
	r.LazyQuotes = true // a process's name may hold quotes
	var all [][]string
	for {
		rec, err := r.Read()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		for i := range rec {
			rec[i] = strings.TrimSpace(rec[i])
		}
		all = append(all, rec)
	}
}

// absent tells a value that the card does not have: "[N/A]", "N/A",
// "[Not Supported]", "[Unknown Error]".
func absent(v string) bool {
	return v == "" || v == "N/A" || strings.HasPrefix(v, "[") && strings.HasSuffix(v, "]")
}

// parseSMI reads the answer to a query of these fields. Anything that is
// neither a value of the field's kind nor a known word for "absent" is an
// error with its line and field.
func parseSMI(out []byte, fields []string) (Snapshot, error) {
	if strings.TrimSpace(string(out)) == "No devices were found" {
		return Snapshot{}, nil
	}
	recs, err := rows(out, len(fields))
	if err != nil {
		return Snapshot{}, err
	}
	var snap Snapshot
	for line, rec := range recs {
		p := smiLine{fields: fields, values: rec}
		c := p.card()
		if p.err != nil {
			return Snapshot{}, fmt.Errorf("line %d: %w", line+1, p.err)
		}
		if d := p.get("driver_version"); !absent(d) {
			snap.Driver = d
		}
		snap.Cards = append(snap.Cards, c)
	}
	return snap, nil
}

// smiLine reads the fields of one card and keeps the first error.
type smiLine struct {
	fields, values []string
	err            error
}

func (p *smiLine) get(field string) string {
	if i := slices.Index(p.fields, field); i >= 0 {
		return p.values[i]
	}
	return ""
}

func (p *smiLine) fail(field, value, want string) {
	if p.err == nil {
		p.err = fmt.Errorf("field %s: %.60q is not %s", field, value, want)
	}
}

func (p *smiLine) number(field string) *float64 {
	v := p.get(field)
	if absent(v) {
		return nil
	}
	f, err := strconv.ParseFloat(v, 64)
	if err != nil || math.IsNaN(f) || f < 0 || f > 1e12 {
		p.fail(field, v, "a number")
		return nil
	}
	return &f
}

func (p *smiLine) integer(field string) *int {
	f := p.number(field)
	if f == nil {
		return nil
	}
	if *f != math.Trunc(*f) {
		p.fail(field, p.get(field), "a whole number")
		return nil
	}
	return ptr(int(*f))
}

// mebibytes returns bytes.
func (p *smiLine) mebibytes(field string) *uint64 {
	if f := p.number(field); f != nil {
		return ptr(uint64(*f * (1 << 20)))
	}
	return nil
}

func (p *smiLine) flag(field string) *bool {
	v := p.get(field)
	switch {
	case absent(v):
		return nil
	case v == "Enabled":
		return ptr(true)
	case v == "Disabled":
		return ptr(false)
	}
	p.fail(field, v, "Enabled or Disabled")
	return nil
}

func (p *smiLine) mask(fields ...string) []Held {
	for _, field := range fields {
		v := p.get(field)
		if absent(v) {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimPrefix(v, "0x"), 16, 64)
		if err != nil || !strings.HasPrefix(v, "0x") {
			p.fail(field, v, "a mask such as 0x0000000000000004")
			return nil
		}
		return held(n)
	}
	return nil
}

func (p *smiLine) card() Card {
	var c Card
	if i := p.integer("index"); i != nil {
		c.Index = *i
	} else {
		p.fail("index", p.get("index"), "a number")
	}
	for field, to := range map[string]*string{"name": &c.Name, "uuid": &c.UUID} {
		if v := p.get(field); !absent(v) {
			*to = v
		}
	}
	if v := p.get("compute_cap"); !absent(v) {
		if !regexpCompute.MatchString(v) {
			p.fail("compute_cap", v, "a compute capability such as 8.9")
		}
		c.Compute, c.Architecture = v, architecture(v)
	}
	if total := p.mebibytes("memory.total"); total != nil && *total > 0 {
		c.Memory = &Memory{Total: *total}
		if used := p.mebibytes("memory.used"); used != nil {
			c.Memory.Used = *used
		}
		if free := p.mebibytes("memory.free"); free != nil {
			c.Memory.Free = *free
		}
	}
	c.Temperature.Now = p.integer("temperature.gpu")
	c.Clocks = Clocks{Graphics: p.integer("clocks.gr"), Memory: p.integer("clocks.mem"), MaxGraphics: p.integer("clocks.max.gr"),
		MaxMemory: p.integer("clocks.max.mem"), Held: p.mask("clocks_event_reasons.active", "clocks_throttle_reasons.active")}
	c.Power = Power{Draw: p.number("power.draw"), Limit: p.number("enforced.power.limit")}
	if gpu, mem := p.integer("utilization.gpu"), p.integer("utilization.memory"); gpu != nil && mem != nil {
		c.Utilisation = &Utilisation{GPU: *gpu, Memory: *mem}
	}
	if on := p.flag("ecc.mode.current"); on != nil {
		c.ECC = &ECC{Enabled: *on}
		if n := p.integer("ecc.errors.corrected.volatile.total"); n != nil {
			c.ECC.Corrected = ptr(uint64(*n))
		}
		if n := p.integer("ecc.errors.uncorrected.volatile.total"); n != nil {
			c.ECC.Uncorrected = ptr(uint64(*n))
		}
	}
	c.PCIe = PCIe{Generation: p.integer("pcie.link.gen.current"), Width: p.integer("pcie.link.width.current"),
		MaxGeneration: p.integer("pcie.link.gen.max"), MaxWidth: p.integer("pcie.link.width.max")}
	c.MIG = p.flag("mig.mode.current")
	for i, v := range p.values {
		switch v {
		case "[GPU is lost]":
			c.Fault = "the card has fallen off the bus; restart the machine, and if it comes back replace the card"
		case "[GPU requires reset]":
			c.Fault = "the card waits for a reset; restart the machine"
		case "[Unknown Error]", "ERR!":
			if p.fields[i] == "temperature.gpu" || p.fields[i] == "memory.total" {
				c.Fault = "the driver can't read the card; restart the machine"
			}
		}
	}
	return c
}

var regexpCompute = regexp.MustCompile(`^[0-9]{1,2}\.[0-9]$`)

func addProcesses(snap *Snapshot, out []byte) {
	recs, err := rows(out, 4)
	if err != nil {
		return
	}
	for _, rec := range recs {
		pid, err := strconv.Atoi(rec[1])
		if err != nil || pid <= 0 {
			continue
		}
		p := Process{PID: pid, Name: rec[2]}
		if mib, err := strconv.ParseUint(rec[3], 10, 40); err == nil {
			p.Memory = ptr(mib << 20)
		}
		for i := range snap.Cards {
			if snap.Cards[i].UUID == rec[0] {
				snap.Cards[i].Processes = append(snap.Cards[i].Processes, p)
			}
		}
	}
}

func addRemapped(snap *Snapshot, out []byte) {
	recs, err := rows(out, 5)
	if err != nil {
		return
	}
	yes := func(v string) bool { return v == "Yes" || v != "0" && v != "No" && !absent(v) }
	for _, rec := range recs {
		corrected, err1 := strconv.Atoi(rec[1])
		uncorrected, err2 := strconv.Atoi(rec[2])
		if err1 != nil || err2 != nil {
			continue
		}
		for i := range snap.Cards {
			if snap.Cards[i].UUID == rec[0] {
				snap.Cards[i].Remapped = &Remapped{Corrected: corrected, Uncorrected: uncorrected, Pending: yes(rec[3]), Failed: yes(rec[4])}
			}
		}
	}
}
