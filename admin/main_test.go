package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	if at, err := strconv.Atoi(os.Getenv(killBackupAt)); err == nil {
		killedBackup(at)
	}
	if len(os.Args) > 1 && os.Args[1] == "central" { // a worker of 'central ingest'
		os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	testscript.Main(m, map[string]func(){
		"rxedge": func() {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
			defer stop()
			os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
		},
	})
}

// The scripts pin what the commands print and how they exit.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(e *testscript.Env) error {
			e.Setenv("RXEDGE_DATA", filepath.Join(e.WorkDir, "var"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// exits CODE COMMAND... runs a command and checks its exit code.
			"exits": exits,
			// bytes FILE N makes a file of N bytes of one line.
			"bytes": oneLine,
			// bomb FILE N makes a small archive that unpacks to N bytes.
			"bomb": bomb,
			// library CENTRE RUN FOLDER... checks and commits what is in the folders.
			"library": takeIn,
			// forge CENTRE ID approves a version behind the records' back.
			"forge": forge,
			"age":   age,
			// feedback FILE ID says something of the answer in FILE.
			"feedback": sayOf,
		},
	})
}
