package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"rxedge/daemon/box"
)

// manual writes what a package carries beside the programs, from the help that the
// programs themselves print, so that neither can say something else.
func (a *app) manual() *cobra.Command {
	return &cobra.Command{
		Use:     "manual FOLDER",
		Hidden:  true,
		Short:   "Write man pages and shell completions into a folder (for packages)",
		Long:    "Write man pages (man1, man8) and completions for bash, zsh and fish into a folder. The date in\nthem is $SOURCE_DATE_EPOCH where that is set. rxedged is looked for beside this program.",
		Example: `  rxedge manual build/manual`,
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			root, dir := c.Root(), given[0]
			when := time.Now()
			if s := os.Getenv("SOURCE_DATE_EPOCH"); s != "" {
				n, err := strconv.ParseInt(s, 10, 64)
				if err != nil {
					return usage("SOURCE_DATE_EPOCH is %q and no number of seconds", s)
				}
				when = time.Unix(n, 0)
			}
			when = when.UTC()
			for _, d := range []string{"man1", "man8", "bash", "zsh", "fish"} {
				if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
					return err
				}
			}
			root.DisableAutoGenTag = true
			header := &doc.GenManHeader{Section: "1", Date: &when, Source: "rxedge " + box.Version, Manual: "rxedge"}
			if err := doc.GenManTree(root, header, filepath.Join(dir, "man1")); err != nil {
				return err
			}
			exe, err := os.Executable()
			if err != nil {
				return err
			}
			var help bytes.Buffer
			daemon := exec.CommandContext(c.Context(), filepath.Join(filepath.Dir(exe), "rxedged"), "--help")
			daemon.Stdout, daemon.Stderr = &help, &help
			if err := daemon.Run(); err != nil {
				return fmt.Errorf("asking rxedged, beside this program, for its help: %w", err)
			}
			if err := os.WriteFile(filepath.Join(dir, "man8", "rxedged.8"), daemonPage(help.String(), when), 0o644); err != nil {
				return err
			}
			if err := root.GenBashCompletionFileV2(filepath.Join(dir, "bash", "rxedge"), true); err != nil {
				return err
			}
			if err := root.GenZshCompletionFile(filepath.Join(dir, "zsh", "_rxedge")); err != nil {
				return err
			}
			return root.GenFishCompletionFile(filepath.Join(dir, "fish", "rxedge.fish"), true)
		},
	}
}

// daemonPage is rxedged's help as a page of section 8, as it is laid out.
func daemonPage(help string, when time.Time) []byte {
	text := strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(strings.TrimSpace(help))
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, ".TH RXEDGED 8 %q %q \"rxedge\"\n.SH NAME\nrxedged \\- the service of an rxedge box\n.SH DESCRIPTION\n.nf\n%s\n.fi\n", when.Format("2006-01-02"), "rxedge "+box.Version, strings.Join(lines, "\n"))
	b.WriteString(".SH SEE ALSO\n.BR rxedge (1)\n")
	return b.Bytes()
}
