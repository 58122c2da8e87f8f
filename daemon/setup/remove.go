package setup

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/kardianos/service"
)

// Uninstall stops the service and takes the programs away. What the box knows, its
// settings and its user stay, unless purge. Where nothing is here it does nothing.
func (s *System) Uninstall(ctx context.Context, purge bool) error {
	if err := s.allowed(); err != nil {
		return err
	}
	if exists(s.path(unit)) {
		s.step("stopping the service")
		m, err := s.Manager("")
		if err != nil {
			return err
		}
		if err := m.Stop(); err != nil {
			return fmt.Errorf("stopping the service: %w", err)
		}
		if err := m.Uninstall(); err != nil {
			return fmt.Errorf("taking the unit away: %w", err)
		}
		_ = s.Run(ctx, "systemctl", "reset-failed", Name) // it fails where it had not
	}
	s.step("taking the programs away")
	if err := s.remove(s.listed()); err != nil {
		return err
	}
	if is, err := os.Readlink(s.path(tool)); err == nil && is == toolTarget {
		if err := os.Remove(s.path(tool)); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(s.path(releases)); err != nil {
		return err
	}
	if !purge {
		return nil
	}
	s.step("taking away what the box knows, its settings and its user")
	for _, path := range []string{"/var/lib/rxedge", "/var/cache/rxedge", "/etc/rxedge", "/run/rxedge", dropIns} {
		if err := os.RemoveAll(s.path(path)); err != nil {
			return err
		}
	}
	for _, c := range [][2]string{{"passwd", "userdel"}, {"group", "groupdel"}} {
		if s.Run(ctx, "getent", c[0], "rxedge") != nil {
			continue // there is none, or none any more
		}
		if err := s.Run(ctx, c[1], "rxedge"); err != nil {
			return err
		}
	}
	return nil
}

// State of the service on this machine.
type State struct {
	Installed string `json:"installed"` // "package", "tarball", or "" where it is not
	Running   bool   `json:"running"`
	Failed    bool   `json:"failed"`
	Unit      string `json:"unit,omitempty"`
}

// State says how the service is.
func (s *System) State() (out State, err error) {
	if !exists(s.path(systemd)) {
		return out, &RefusedError{"this machine does not run systemd", "'rxedge status' speaks to a daemon that runs otherwise"}
	}
	switch {
	case exists(s.path(ofPackage)):
		out.Installed, out.Unit = "package", "/lib/systemd/system/rxedged.service"
	case exists(s.path(unit)):
		out.Installed, out.Unit = "tarball", unit
	default:
		return out, nil
	}
	m, err := s.Manager("")
	if err != nil {
		return out, err
	}
	st, err := m.Status()
	switch {
	case errors.Is(err, service.ErrNotInstalled):
		out.Installed = ""
		return out, nil
	case err != nil:
		out.Failed = true // it has no name for this
		return out, nil
	}
	out.Running = st == service.StatusRunning
	return out, nil
}

// Start the service; it returns once it answers.
func (s *System) Start() error { return s.do(Manager.Start) }

// Stop it; what is under way is finished.
func (s *System) Stop() error { return s.do(Manager.Stop) }

func (s *System) do(what func(Manager) error) error {
	switch {
	case s.UID != 0:
		return &RefusedError{"only root may do this", "put 'sudo' before it"}
	case !exists(s.path(systemd)):
		return &RefusedError{"this machine does not run systemd", "'rxedge service run' runs the daemon without"}
	}
	m, err := s.Manager("")
	if err != nil {
		return err
	}
	return what(m)
}
