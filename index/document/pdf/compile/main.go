// Command compile fills the cache of the PDF engine.
package main

import (
	"fmt"
	"os"

	"rxedge/index/document/pdf"
)

func main() {
	if err := pdf.Prepare(""); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
