package page

import (
	"embed"
	"io/fs"
	"sync"

	"rxedge/daemon/web"
)

//go:embed assets
var files embed.FS

// assets are the pages: those of a box lend their styles, tables and elements.
var assets = sync.OnceValue(func() *web.Set {
	own, err := fs.Sub(files, "assets")
	if err != nil {
		panic(err) // the path is fixed at compile time
	}
	s, err := web.NewSet(map[string]web.Page{
		"/":        {File: "fleet.html", Styles: []string{"base.css", "station/panels.css", "fleet.css"}},
		"/sign-in": {File: "signin.html", Styles: []string{"base.css", "station/panels.css", "fleet.css"}},
	}, "There is no such page here; the fleet is at /.", web.Shared(), own)
	if err != nil {
		panic(err) // embedded files: found by the first test
	}
	return s
})
