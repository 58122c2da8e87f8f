package uplink_test

import (
	"net"
	"testing"
	"time"

	"rxedge/sync/synctest"
	"rxedge/sync/uplink"
)

// How the link stands is told while an attempt lies in a hole: the attempt is still under
// way when the answer is there.
func TestStatusDuringAttempt(t *testing.T) {
	t.Parallel()
	f := synctest.NewFleet(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	id := f.Enroll(t, t.TempDir(), "pharmacy-17", "stable")
	id.Hubs = []string{l.Addr().String()}
	refused := make(chan error, 1)
	go func() { // the first attempt, which Start waits for
		c, err := l.Accept()
		if err == nil {
			err = c.Close()
		}
		refused <- err
	}()
	u, err := uplink.Start(uplink.Options{Identity: id})
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	if err := <-refused; err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	first := make([]byte, 1)
	if _, err := c.Read(first); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	st := u.Link()
	// The attempt ends after five seconds, and the answer used to wait for that.
	if took := time.Since(began); st.Connected || took > 3*time.Second {
		t.Error(took, st)
	}
}
