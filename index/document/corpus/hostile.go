package main

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// hostile: files that must be refused, each with its reason, and some that only
// look as if they must.
func hostile(m *maker) error {
	plain, err := os.ReadFile(m.path("plain.pdf"))
	if err != nil {
		return err
	}
	var tr Truth
	for _, t := range m.truths {
		if t.File == "plain.pdf" {
			tr = t
		}
	}
	// Encrypted for opening; for printing alone (it opens without a password).
	for name, pass := range map[string]string{"encrypted-password.pdf": "secret", "encrypted-open.pdf": ""} {
		if err := m.cmd("qpdf", "--encrypt", pass, "owner", "256", "--", m.abs("plain.pdf"), m.abs(name)); err != nil {
			return err
		}
	}
	m.add(Truth{File: "encrypted-password.pdf", Group: "refused", Refused: "needs a password"})
	open := tr
	open.File = "encrypted-open.pdf"
	m.add(open)
	for name, args := range map[string][]string{
		"packed-objects.pdf": {"--object-streams=generate"}, "linearized.pdf": {"--linearize"}, "turned.pdf": {"--rotate=+90:1-z"},
	} {
		if err := m.cmd("qpdf", append(args, m.abs("plain.pdf"), m.abs(name))...); err != nil {
			return err
		}
	}
	for _, name := range []string{"packed-objects.pdf", "linearized.pdf", "turned.pdf"} {
		t := tr
		t.File = name
		m.add(t)
	}
	noXref := bytes.Replace(plain, []byte("startxref"), []byte("startxxxx"), 1)
	lost := tr
	lost.File = "lost-table.pdf" // its table of objects can be built again
	bad := append(append([]byte{}, plain[:len(plain)/3]...), bytes.Repeat([]byte{0x20}, len(plain)/3)...)
	bad = append(bad, "\n%%EOF"...)
	for name, data := range map[string][]byte{
		"lost-table.pdf": noXref, "cut-short.pdf": plain[:len(plain)/2], "head-only.pdf": plain[:600], "overwritten.pdf": bad,
		"not-a-pdf.pdf": []byte("%PDF-1.7\nnothing of the kind\n"), "empty.pdf": {},
		"page-loop.pdf":   []byte(loopPDF),
		"word-2003.doc":   append([]byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), make([]byte, 4096)...),
		"broken.png":      append([]byte("\x89PNG\r\n\x1a\n"), bytes.Repeat([]byte("x"), 500)...),
		"entity-bomb.xml": []byte(bomb),
	} {
		if err := os.WriteFile(m.path(name), data, 0o644); err != nil {
			return err
		}
	}
	m.add(lost)
	for _, t := range []Truth{
		{File: "cut-short.pdf", Refused: "damaged"}, {File: "head-only.pdf", Refused: "damaged"}, {File: "overwritten.pdf", Refused: "damaged"},
		{File: "not-a-pdf.pdf", Refused: "damaged"}, {File: "empty.pdf", Refused: "empty"}, {File: "page-loop.pdf", Refused: "damaged"},
		{File: "word-2003.doc", Refused: "old Microsoft Office"}, {File: "broken.png", Refused: "picture"}, {File: "entity-bomb.xml", Refused: "never expanded"},
	} {
		t.Group = "refused"
		m.add(t)
	}
	return archives(m)
}

const bomb = `<?xml version="1.0"?><!DOCTYPE document [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><document xmlns="urn:hl7-org:v3"><title>&b;</title></document>`

const loopPDF = "%PDF-1.4\n1 0 obj\n<</Type/Catalog/Pages 2 0 R>>\nendobj\n2 0 obj\n<</Type/Pages/Count 1/Kids[2 0 R]>>\nendobj\ntrailer<</Root 1 0 R/Size 3>>\nstartxref\n0\n%%EOF\n"

// archives: bombs, names that lead out, a DailyMed release of nested archives.
func archives(m *maker) error {
	inner := func(files map[string][]byte, order ...string) ([]byte, error) {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for _, n := range order {
			w, err := z.Create(n)
			if err != nil {
				return nil, err
			}
			if _, err := w.Write(files[n]); err != nil {
				return nil, err
			}
		}
		if err := z.Close(); err != nil {
			return nil, err
		}
		return b.Bytes(), nil
	}
	zeros := func(n int) []byte { return make([]byte, n) }
	bombFile, err := inner(map[string][]byte{"label.xml": zeros(900 << 20)}, "label.xml")
	if err != nil {
		return err
	}
	out, err := inner(map[string][]byte{"../../etc/label.xml": []byte("<document/>")}, "../../etc/label.xml")
	if err != nil {
		return err
	}
	deep := []byte("<document/>")
	name := "label.xml"
	for range 12 {
		if deep, err = inner(map[string][]byte{name: deep}, name); err != nil {
			return err
		}
		name = "nested.zip"
	}
	docx, err := inner(map[string][]byte{"[Content_Types].xml": []byte("<Types/>"), "word/document.xml": []byte("<w:document>" + strings.Repeat("<w:p>", 5000))}, "[Content_Types].xml", "word/document.xml")
	if err != nil {
		return err
	}
	fine, err := inner(map[string][]byte{"label.md": []byte("# A label\n\nTake 500 mg.")}, "label.md")
	if err != nil {
		return err
	}
	encrypted := bytes.Clone(fine)
	for _, at := range []int{6, bytes.Index(fine, []byte("PK\x01\x02")) + 8} { // its flags, in both places
		encrypted[at] |= 1
	}
	wrong := bytes.Clone(fine) // the checksum in the directory
	wrong[bytes.Index(fine, []byte("PK\x01\x02"))+16] ^= 1
	wrong[bytes.Index(fine, []byte("PK\x07\x08"))+4] ^= 1
	empty, err := inner(nil)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(m.tmp, "zeros.txt"), zeros(300<<20), 0o644); err != nil {
		return err
	}
	if err := m.cmd("tar", "-czf", m.abs("bomb.tar.gz"), "zeros.txt"); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(m.tmp, "noise.bin"), bombFile, 0o644); err != nil {
		return err
	}
	if err := m.cmd("tar", "-cf", m.abs("whole.tar"), "noise.bin"); err != nil {
		return err
	}
	whole, err := os.ReadFile(m.path("whole.tar"))
	if err != nil {
		return err
	}
	if err := os.Remove(m.path("whole.tar")); err != nil {
		return err
	}
	for n, b := range map[string][]byte{"encrypted.zip": encrypted, "wrong-checksum.zip": wrong, "empty.zip": empty, "packed.7z": []byte("7z\xbc\xaf\x27\x1c\x00\x04 and no more"),
		"cut.tar": whole[:len(whole)/2]} {
		if err := os.WriteFile(m.path(n), b, 0o644); err != nil {
			return err
		}
	}
	for _, t := range []Truth{
		{File: "encrypted.zip", Refused: "encrypted"}, {File: "wrong-checksum.zip", Refused: "checksum"}, {File: "empty.zip", Refused: "no document"},
		{File: "bomb.tar.gz", Refused: "times its size"}, {File: "packed.7z", Refused: "7-Zip"}, {File: "cut.tar", Refused: "cut short"},
	} {
		t.Group = "refused"
		m.add(t)
	}
	for n, b := range map[string][]byte{"bomb.zip": bombFile, "leads-out.zip": out, "nested-deep.zip": deep, "broken.docx": docx, "cut.zip": bombFile[:len(bombFile)/2]} {
		if err := os.WriteFile(m.path(n), b, 0o644); err != nil {
			return err
		}
	}
	for _, t := range []Truth{
		{File: "bomb.zip", Refused: "unpacks to"}, {File: "leads-out.zip", Refused: "leads out"}, {File: "nested-deep.zip", Refused: "nested"},
		{File: "broken.docx", Refused: "nested too deep"}, {File: "cut.zip", Refused: "damaged"},
	} {
		t.Group = "refused"
		m.add(t)
	}
	return release(m)
}

// release: labels in archives in an archive, as DailyMed gives them out.
func release(m *maker) error {
	dir := filepath.Join(m.src.data, "spl_xml")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	f, err := os.Create(m.path("dailymed-release.zip"))
	if err != nil {
		return err
	}
	defer f.Close()
	z := zip.NewWriter(f)
	tr := Truth{File: "dailymed-release.zip", Group: "table"}
	for i, e := range entries {
		raw, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		var b bytes.Buffer
		in := zip.NewWriter(&b)
		for _, n := range []string{e.Name(), "image-01.jpg"} {
			w, err := in.Create(n)
			if err != nil {
				return err
			}
			if strings.HasSuffix(n, ".xml") {
				_, err = w.Write(raw)
			} else {
				_, err = io.WriteString(w, "\xff\xd8\xff not a real picture")
			}
			if err != nil {
				return err
			}
		}
		if err := in.Close(); err != nil {
			return err
		}
		w, err := z.Create(fmt.Sprintf("prescription/2024%04d_%s.zip", i, strings.TrimSuffix(e.Name(), ".xml")))
		if err != nil {
			return err
		}
		if _, err := w.Write(b.Bytes()); err != nil {
			return err
		}
	}
	m.add(tr)
	return z.Close()
}
