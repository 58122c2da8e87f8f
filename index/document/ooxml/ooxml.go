// Package ooxml opens the files that Office programs write since 2007 (ECMA-376,
// Office Open XML): a zip of XML parts. Whatever is in one, it unpacks to no more
// than is allowed, and no part of it is trusted.
package ooxml

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// Kinds of Office files, by the content type of their main part.
const (
	Word         = "word"
	Workbook     = "workbook"
	BinaryBook   = "binary workbook" // .xlsb: its parts are no XML
	Presentation = "presentation"
	Other        = "other"
)

// Limits of one file.
const (
	maxEntries  = 20_000
	maxUnpacked = 512 << 20 // of the parts that are read
	maxPart     = 256 << 20
	maxRatio    = 300 // of a part over ratioFrom
	ratioFrom   = 16 << 20
)

// Error says why a file can't be read and what to do. It holds no text of the file.
type Error struct{ Reason, Fix string }

func (e *Error) Error() string { return e.Reason + "; " + e.Fix }

// Damaged is an Error for a file of the kind what ("a Word file") that broke off at
// a part of it; "" for the whole.
func Damaged(what, part string) *Error {
	if part != "" {
		what += ", of which a part"
	} else {
		what += " that"
	}
	return &Error{what + " is damaged", "fetch it again, or open it in an Office program and save it anew"}
}

// Package is an open file.
type Package struct {
	Kind   string // what its main part is
	Main   string // name of the main part
	Macros bool   // it brings programs, which are never run
	files  map[string]*zip.File
	left   int64
}

// ErrNotOffice: a zip, and no Office file.
var ErrNotOffice = errors.New("no Office file")

const typesPart = "[Content_Types].xml"

// Looks says whether a file that begins with head may be an Office file: a zip of
// which the first entry has a name that the parts of one have. Open decides.
func Looks(head []byte) bool {
	if len(head) < 30 || !bytes.HasPrefix(head, []byte("PK\x03\x04")) {
		return false
	}
	n := int(head[26]) | int(head[27])<<8
	name := strings.ReplaceAll(string(head[30:min(len(head), 30+n)]), `\`, "/")
	for _, p := range []string{typesPart, "_rels/", "docProps/", "word/", "xl/", "ppt/", "customXml/", "mimetype"} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

// Open reads the list of parts. A zip that is no Office file gives ErrNotOffice,
// one that is damaged an *Error where its first part names it an Office file.
func Open(r io.ReaderAt, size int64) (*Package, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		head := make([]byte, min(size, 4096))
		if n, _ := r.ReadAt(head, 0); Looks(head[:n]) {
			return nil, Damaged("an Office file", "")
		}
		return nil, ErrNotOffice
	}
	p := &Package{files: map[string]*zip.File{}, left: maxUnpacked, Kind: Other}
	for i, f := range z.File {
		if i >= maxEntries {
			if p.files[typesPart] == nil {
				return nil, ErrNotOffice
			}
			return nil, &Error{fmt.Sprintf("an Office file of more than %d parts", maxEntries), "save it anew with an Office program"}
		}
		name := strings.TrimPrefix(strings.ReplaceAll(f.Name, `\`, "/"), "/")
		if _, twice := p.files[name]; twice {
			continue // the first is what Office programs take
		}
		p.files[name] = f
	}
	if p.files[typesPart] == nil {
		if p.files["mimetype"] != nil && p.files["content.xml"] != nil {
			return nil, &Error{"an OpenDocument file (LibreOffice), which cannot be read", "save it as .docx, .xlsx or PDF"}
		}
		return nil, ErrNotOffice
	}
	return p, p.types()
}

// mainTypes are the content types of main parts, without what follows ".main".
var mainTypes = map[string]string{
	"application/vnd.openxmlformats-officedocument.wordprocessingml.document":   Word,
	"application/vnd.openxmlformats-officedocument.wordprocessingml.template":   Word,
	"application/vnd.ms-word.document.macroenabled":                             Word,
	"application/vnd.ms-word.template.macroenabledtemplate":                     Word,
	"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet":         Workbook,
	"application/vnd.openxmlformats-officedocument.spreadsheetml.template":      Workbook,
	"application/vnd.ms-excel.sheet.macroenabled":                               Workbook,
	"application/vnd.ms-excel.template.macroenabled":                            Workbook,
	"application/vnd.ms-excel.sheet.binary.macroenabled":                        BinaryBook,
	"application/vnd.openxmlformats-officedocument.presentationml.presentation": Presentation,
	"application/vnd.openxmlformats-officedocument.presentationml.slideshow":    Presentation,
	"application/vnd.openxmlformats-officedocument.presentationml.template":     Presentation,
	"application/vnd.ms-powerpoint.presentation.macroenabled":                   Presentation,
	"application/vnd.ms-powerpoint.slideshow.macroenabled":                      Presentation,
}

func (p *Package) types() error {
	d, err := p.Decoder(typesPart)
	if err != nil {
		return err
	}
	defer d.Close()
	defaults := map[string]string{}
	type over struct{ name, kind string }
	var overrides []over
	for {
		e, err := d.Start()
		if err == io.EOF {
			break
		}
		if err != nil {
			return Damaged("an Office file", typesPart)
		}
		kind := strings.ToLower(e.Get("ContentType"))
		if strings.Contains(kind, "vbaproject") {
			p.Macros = true
		}
		switch e.Local {
		case "Default":
			defaults[strings.ToLower(e.Get("Extension"))] = kind
		case "Override":
			overrides = append(overrides, over{strings.TrimPrefix(e.Get("PartName"), "/"), kind})
		}
	}
	for _, o := range overrides {
		kind, isMain := strings.CutSuffix(o.kind, "+xml")
		kind, isMain2 := strings.CutSuffix(kind, ".main")
		if what := mainTypes[kind]; what != "" && (isMain && isMain2 || what == BinaryBook) && p.Main == "" {
			p.Kind, p.Main = what, o.name
		}
	}
	// A writer that names the type of its main part by its extension alone.
	for _, guess := range []struct{ name, kind string }{{"word/document.xml", Word}, {"xl/workbook.xml", Workbook}, {"ppt/presentation.xml", Presentation}} {
		if p.Main == "" && p.files[guess.name] != nil {
			p.Kind, p.Main = guess.kind, guess.name
		}
	}
	if p.Main != "" && p.files[p.Main] == nil {
		return Damaged("an Office file", p.Main)
	}
	return nil
}

// Has says whether there is such a part.
func (p *Package) Has(name string) bool { return p.files[name] != nil }

// Unpacked is what all parts together say they unpack to, in bytes.
func (p *Package) Unpacked() (all uint64) {
	for _, f := range p.files {
		all += f.UncompressedSize64
	}
	return all
}

// part opens one part; what is read of all parts together is bounded.
func (p *Package) part(name string) (io.ReadCloser, error) {
	f := p.files[name]
	if f == nil {
		return nil, Damaged("an Office file", name)
	}
	if f.Flags&1 != 0 {
		return nil, &Error{"an Office file that is encrypted as a zip", "save it without a password"}
	}
	if err := tooBig(f); err != nil {
		return nil, err
	}
	r, err := f.Open()
	if err != nil {
		return nil, Damaged("an Office file", name)
	}
	return &bounded{ReadCloser: r, p: p, part: maxPart}, nil
}

func tooBig(f *zip.File) error {
	n, c := f.UncompressedSize64, f.CompressedSize64
	if n > maxPart || n > ratioFrom && n/max(c, 1) > maxRatio {
		return &Error{fmt.Sprintf("an Office file of which one part unpacks to %d MiB", n>>20), "save it anew with an Office program; split it where it is really that large"}
	}
	return nil
}

// CheckSizes refuses a file of which any part, or all together, unpack to too
// much: for readers that unpack it themselves.
func (p *Package) CheckSizes() error {
	for _, f := range p.files {
		if err := tooBig(f); err != nil {
			return err
		}
	}
	if n := p.Unpacked(); n > maxUnpacked {
		return &Error{fmt.Sprintf("an Office file that unpacks to %d MiB", n>>20), "split it"}
	}
	return nil
}

// bounded ends where more comes than the zip's own list of sizes allows.
type bounded struct {
	io.ReadCloser
	p    *Package
	part int64
}

func (b *bounded) Read(buf []byte) (int, error) {
	n, err := b.ReadCloser.Read(buf)
	b.part -= int64(n)
	b.p.left -= int64(n)
	if b.part < 0 || b.p.left < 0 {
		return 0, &Error{fmt.Sprintf("an Office file that unpacks to more than %d MiB", maxUnpacked>>20), "split it"}
	}
	return n, err
}

// Relations of a part: id → target within the package. Links to outside are left out.
func (p *Package) Relations(part string) map[string]string {
	out := map[string]string{}
	p.relations(part, func(id, _, target string) { out[id] = target })
	return out
}

// Related is the first part that stands in a relation of such a kind ("styles",
// "numbering") to part; "" where none does.
func (p *Package) Related(part, kind string) string {
	found := ""
	p.relations(part, func(_, k, target string) {
		if found == "" && strings.HasSuffix(k, "/"+kind) && p.files[target] != nil {
			found = target
		}
	})
	return found
}

func (p *Package) relations(part string, each func(id, kind, target string)) {
	dir, file := path.Split(part)
	name := dir + "_rels/" + file + ".rels"
	if part == "" {
		name = "_rels/.rels"
	}
	if p.files[name] == nil {
		return
	}
	d, err := p.Decoder(name)
	if err != nil {
		return
	}
	defer d.Close()
	for {
		e, err := d.Start()
		if err != nil {
			return // what was found until here is what there is
		}
		if e.Local != "Relationship" || e.Get("TargetMode") == "External" {
			continue
		}
		target := e.Get("Target")
		if strings.HasPrefix(target, "/") {
			target = strings.TrimPrefix(path.Clean(target), "/")
		} else {
			target = path.Join(dir, target)
		}
		each(e.Get("Id"), e.Get("Type"), target)
	}
}
