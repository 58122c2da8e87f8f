package main

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// exits runs rxedge in this process with its data folder, and checks the code.
// What it printed goes to the files out and err.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || args[1] != "rxedge" {
		ts.Fatalf("usage: exits CODE rxedge ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	given := append([]string{"--data", ts.Getenv("RXEDGE_DATA")}, args[2:]...)
	for i, a := range given {
		if strings.HasPrefix(a, "./") { // this process has another working folder
			given[i] = ts.MkAbs(a)
		}
	}
	var out, errOut bytes.Buffer
	code := run(context.Background(), given, strings.NewReader(""), &out, &errOut)
	ts.Check(os.WriteFile(ts.MkAbs("out"), out.Bytes(), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("err"), errOut.Bytes(), 0o600))
	if code != want {
		ts.Fatalf("exit code %d, want %d\nstdout: %s\nstderr: %s", code, want, out.String(), errOut.String())
	}
}

func sayOf(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: feedback FILE ID")
	}
	var a struct{ ID string }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &a))
	exits(ts, false, []string{"0", "rxedge", "feedback", "add", a.ID, "--id", args[1], "--thumb", "down", "--correction", "secretly typed"})
}

func oneLine(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: bytes FILE N")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	f, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	defer f.Close()
	block := bytes.Repeat([]byte("dose "), 1<<16)
	for n > 0 {
		k := min(n, len(block))
		_, err := f.Write(block[:k])
		ts.Check(err)
		n -= k
	}
}

func bomb(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: bomb FILE N")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	f, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	defer f.Close()
	z := zip.NewWriter(f)
	w, err := z.Create("label.xml")
	ts.Check(err)
	block := make([]byte, 1<<16)
	for n > 0 {
		k := min(n, len(block))
		_, err := w.Write(block[:k])
		ts.Check(err)
		n -= k
	}
	ts.Check(z.Close())
}

// age makes a file as old as was said.
func age(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: age DURATION FILE")
	}
	d, err := time.ParseDuration(args[0])
	ts.Check(err)
	at := time.Now().Add(-d)
	ts.Check(os.Chtimes(ts.MkAbs(args[1]), at, at))
}
