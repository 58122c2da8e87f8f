package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"rxedge/daemon/api"
	"rxedge/daemon/box"
	"rxedge/daemon/control"
	"rxedge/daemon/health"
	"rxedge/daemon/upgrade"
)

// The service: whether it runs, answers, and is the one that it should be.
var serviceLooks = []look{
	{name: "release", of: []*health.Condition{health.ReleaseOnTrial, health.ReleaseRolledBack}, run: lookRelease},
	{name: "service", of: []*health.Condition{health.ServiceHangs, health.ServiceRestarting, health.ServiceWatchdog, health.ServiceStopped, health.ServiceVersion}, run: lookService},
}

const (
	hangsAfter   = 10 * time.Second // without an answer to a question for the status
	managerTime  = 5 * time.Second  // that the service manager may take
	manyRestarts = 3
)

// service as it is found: pid 0 where none has the data folder.
type service struct {
	pid    int
	client *control.Client // nil: it does not answer, or this user may not ask it
	status *api.Health
	err    error // why there is no status
	denied bool  // this user may not ask it
	unit   map[string]string
}

// service is looked for once.
func (p *patient) service(ctx context.Context) *service {
	if p.svc != nil {
		return p.svc
	}
	s := &service{}
	p.svc = s
	s.unit = p.unit(ctx)
	s.pid = lockedBy(p.cfg.Data)
	c, err := control.Dial(p.cfg.Data)
	if err != nil {
		s.err = err
		s.denied = errors.Is(err, syscall.EACCES)
		if s.denied && s.pid == 0 {
			s.pid, _ = strconv.Atoi(s.unit["MainPID"])
		}
		return s
	}
	within, cancel := context.WithTimeout(ctx, hangsAfter)
	defer cancel()
	h, err := c.Status(within)
	if err != nil {
		s.err = err
		_ = c.Close()
		if s.pid == 0 && errors.Is(err, io.EOF) { // it hangs up on strangers
			s.denied = true
		}
		return s
	}
	s.client, s.status = c, &h
	return s
}

// lockedBy says which process holds the data folder; 0: none, or not to be seen.
func lockedBy(data string) int {
	f, err := os.Open(filepath.Join(data, "lock"))
	if err != nil {
		return 0
	}
	defer f.Close()
	if unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) == nil {
		return 0 // given back with the file
	}
	b, _ := io.ReadAll(io.LimitReader(f, 32))
	pid, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	return pid
}

// unit as the service manager shows it; empty where this box is none of its.
func (p *patient) unit(ctx context.Context) map[string]string {
	if !p.installed() {
		return nil
	}
	within, cancel := context.WithTimeout(ctx, managerTime)
	defer cancel()
	out, err := exec.CommandContext(within, "systemctl", "show", "rxedged", "--property=LoadState,ActiveState,SubState,Result,NRestarts,MainPID").Output()
	if err != nil {
		return nil
	}
	m := map[string]string{}
	for line := range strings.Lines(string(out)) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
		m[k] = v
	}
	if m["LoadState"] != "loaded" {
		return nil
	}
	return m
}

// ready asks the page's address whether questions are answered, as anybody may.
func ready(ctx context.Context, addr string) bool {
	within, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(within, http.MethodGet, "http://"+addr+"/healthz", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 256))
	return resp.StatusCode == http.StatusOK && bytes.Contains(b, []byte(`"status":"ok"`))
}

func lookService(ctx context.Context, p *patient, s *seen) {
	svc := p.service(ctx)
	state := svc.unit["ActiveState"]
	n, _ := strconv.Atoi(svc.unit["NRestarts"])
	switch {
	case svc.status != nil:
		if svc.status.Version != box.Version {
			s.find(health.ServiceVersion.Found("it runs version %s and this tool is %s", svc.status.Version, box.Version))
		}
		if svc.unit["Result"] == "watchdog" {
			s.find(health.ServiceWatchdog.Found("it was started %d times since", n))
		}
		s.ok = fmt.Sprintf("answers, version %s", svc.status.Version)
		return
	case svc.denied || svc.pid == 0 && p.stranger() != "":
		if ready(ctx, p.cfg.Listen) {
			s.ok = "answers on " + p.cfg.Listen
			s.skip = ""
			return
		}
		s.skip = p.stranger()
		if s.skip == "" {
			s.skip = "this user may not ask the service"
		}
		return
	case svc.pid != 0 && (state == "activating" || young(svc.pid)) && errors.Is(svc.err, control.ErrUnreachable):
		s.find(health.ServiceHangs.Found("process %d (%s) has the data folder and is starting", svc.pid, command(svc.pid)).As(health.Warning).Mend("wait until it has started; 'rxedge status' then answers"))
		return
	case svc.pid != 0 && command(svc.pid) == "rxedge":
		s.find(health.ServiceHangs.Found("process %d, a command of rxedge, has the data folder", svc.pid).As(health.Warning).Mend("wait for it"))
		return
	case svc.pid != 0:
		f := health.ServiceHangs.Found("process %d (%s) has the data folder and does not answer: %v", svc.pid, command(svc.pid), svc.err)
		if svc.unit == nil {
			f = f.Mend(fmt.Sprintf("end it ('kill -KILL %d') and start the service again", svc.pid))
		}
		s.find(f)
		return
	}
	if n >= manyRestarts && state != "active" {
		s.find(health.ServiceRestarting.Found("%d times; it ended with %s", n, svc.unit["Result"]))
	}
	f := health.ServiceStopped.Found("rxedged does not run; what follows is what the data folder holds")
	switch {
	case svc.unit != nil && os.Geteuid() == 0:
		s.mend(f, repair{what: "start the service ('systemctl start rxedged')", last: true, do: func(ctx context.Context) error {
			out, err := exec.CommandContext(ctx, "systemctl", "start", "rxedged").CombinedOutput()
			if err != nil {
				return fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
			}
			return nil
		}})
	case svc.unit != nil:
		s.find(f)
	default: // nobody said that it is to run
		s.find(f.As(health.Warning))
	}
}

// young is a process that was started within the last minute.
func young(pid int) bool {
	info, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
	return err == nil && time.Since(info.ModTime()) < time.Minute
}

func lookRelease(_ context.Context, p *patient, s *seen) {
	root := &upgrade.Root{Dir: "/usr/lib/rxedge"}
	if d := os.Getenv("RXEDGE_ROOT"); d != "" {
		root.Dir = d
	} else if !p.installed() {
		s.ok = "none is installed"
		return
	}
	all, err := root.Releases()
	if err != nil {
		s.skip = err.Error()
		return
	}
	for _, r := range all {
		switch {
		case r.Pending:
			s.find(health.ReleaseOnTrial.Found("release %s", r.Version))
		case r.Bad != "":
			s.find(health.ReleaseRolledBack.Found("release %s: %s", r.Version, printableText(r.Bad)))
		case r.Confirmed:
			s.ok = r.Version + ", confirmed"
		}
	}
}
