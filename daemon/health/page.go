package health

import (
	"fmt"
	"strings"
	"time"
)

// Page is CONDITIONS.md: every condition, with what it means and what mends it.
func Page() string {
	var b strings.Builder
	b.WriteString(`# Conditions

What can be wrong with a box. 'rxedge status' names those that hold, the one to mend
first at the top; 'rxedge doctor' looks for all of them; 'rxedge doctor --explain CODE'
prints what stands here. This page is made of what the programs know ('go test
./daemon/health -update').

| code | severity | what |
|---|---|---|
`)
	for _, c := range conditions {
		fmt.Fprintf(&b, "| [`%s`](#%s) | %s | %s |\n", c.Code, c.Code, c.Severity, c.Title)
	}
	for _, c := range conditions {
		fmt.Fprintf(&b, "\n## %s\n\n%s", c.Code, c.Explain())
	}
	return b.String()
}

// Explain is a condition in plain words, some paragraphs of Markdown.
func (c *Condition) Explain() string {
	var b strings.Builder
	fmt.Fprintf(&b, "**%s** (%s). %s\n\nMend: %s.\n\n", c.Title, c.Severity, c.Text, c.Fix)
	if c.Within > 0 {
		fmt.Fprintf(&b, "It shows within %s.", span(c.Within))
	} else {
		b.WriteString("It shows at the next start, or when 'rxedge doctor' looks.")
	}
	if len(c.DependsOn) > 0 {
		codes := make([]string, len(c.DependsOn))
		for i, d := range c.DependsOn {
			codes[i] = "`" + d.Code + "`"
		}
		fmt.Fprintf(&b, " Where one of these holds too, mend that first: %s.", strings.Join(codes, ", "))
	}
	b.WriteString("\n")
	return b.String()
}

func span(d time.Duration) string {
	unit, n := "second", int(d/time.Second)
	if d%time.Hour == 0 {
		unit, n = "hour", int(d/time.Hour)
	} else if d%time.Minute == 0 {
		unit, n = "minute", int(d/time.Minute)
	}
	if n != 1 {
		unit += "s"
	}
	return fmt.Sprintf("%d %s", n, unit)
}
