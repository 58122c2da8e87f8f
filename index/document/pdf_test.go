package document

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The engine is compiled once and kept in the user's cache; under the race
// detector that alone takes a minute, so 'make test' does it before.
func readPDF(t *testing.T, name string) *Document {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "pdf", name))
	if err != nil {
		t.Fatal(err)
	}
	return readOne(t, name, raw)
}

func TestPDF(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join("testdata", "pdf", "truth.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all []said
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	for _, want := range all {
		t.Run(want.File, func(t *testing.T) {
			t.Parallel()
			d := readPDF(t, want.File)
			wellFormed(t, d)
			out := d.Title + "\n"
			for _, s := range d.Sections {
				out += s.Number + " " + s.Title + "\n" + s.Text + "\n"
				if len(s.Places) == 0 || s.Places[0].Page < 1 {
					t.Errorf("%s: no page: %v", s.ID, s.Places)
				}
				for i, p := range s.Places {
					if p.At > len(s.Text) || i > 0 && (p.At <= s.Places[i-1].At || p.Page < s.Places[i-1].Page) {
						t.Errorf("%s: places %v", s.ID, s.Places)
					}
				}
			}
			truth, got := tokens(strings.Join(want.Text, "\n")), tokens(out)
			if r := share(common(truth, got), len(truth)); r < 0.99 {
				t.Errorf("recall %.4f", r)
			}
			if o := inOrder(truth, got); o < 0.995 {
				t.Errorf("order %.4f", o)
			}
			if cells, right := tableCells(want.Tables, out, true); right < cells {
				t.Errorf("%d of %d cells", right, cells)
			}
		})
	}
}

// 10⁶ is not 106.
func TestPDFKeepsSuperscripts(t *testing.T) {
	t.Parallel()
	d := readPDF(t, "superscripts.pdf")
	n := 0
	for _, s := range d.Sections {
		n += strings.Count(s.Text, "10⁶ units over 1.73 m² at a rate of 3 × 10⁻³ per hour")
		if strings.Contains(s.Text, "106 units") {
			t.Errorf("%s: a superscript came down", s.ID)
		}
	}
	if n == 0 {
		t.Error("no superscript was found")
	}
}

func TestPDFRefused(t *testing.T) {
	t.Parallel()
	locked, err := os.ReadFile(filepath.Join("testdata", "pdf", "encrypted-password.pdf"))
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(filepath.Join("testdata", "pdf", "groff-columns.pdf"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		data   []byte
		reason string
	}{
		"locked.pdf": {locked, "needs a password"},
		"cut.pdf":    {whole[:len(whole)/2], "damaged"},
		"noise.pdf":  {[]byte("%PDF-1.7\n" + strings.Repeat("noise ", 500)), "damaged"},
		"blank.pdf":  {onePage(""), "no text"},
		"scan.pdf":   {onePage("q 500 0 0 700 50 50 cm /I Do Q"), "needs tesseract"},
		// What a scanner's own recognition has put under the picture is not believed.
		"hidden.pdf": {onePage("BT 3 Tr /F 12 Tf 50 700 Td (Take 50 mg of it twice daily.) Tj ET q 500 0 0 700 50 50 cm /I Do Q"), "needs tesseract"},
		"under.pdf":  {onePage("BT /F 12 Tf 50 700 Td (Take 50 mg of it twice daily.) Tj ET q 500 0 0 700 50 50 cm /I Do Q"), "needs tesseract"},
		"late.pdf":   {onePage("q 500 0 0 700 50 50 cm /I Do Q BT 3 Tr /F 12 Tf 50 700 Td (Take 50 mg of it twice daily.) Tj ET"), "needs tesseract"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if p := problemOf(t, name, c.data, Options{Tesseract: "no-tesseract"}); !strings.Contains(p.Reason, c.reason) {
				t.Error(p)
			}
		})
	}
	// Text that is seen on a picture is text.
	seen := onePage("q 500 0 0 700 50 50 cm /I Do Q BT /F 12 Tf 50 700 Td (Take 50 mg of it twice daily.) Tj ET")
	if d := readOne(t, "seen.pdf", seen); !strings.Contains(d.Sections[0].Text, "50 mg") || d.Notice != "" {
		t.Errorf("%+v", d)
	}
	if p := problemOf(t, "slow.pdf", whole, Options{MaxFileTime: time.Nanosecond}); !strings.Contains(p.Reason, "took too long") {
		t.Error(p)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := ReadBytes(ctx, "a.pdf", whole, Options{}, nil); err == nil {
		t.Error("a cancelled read goes on")
	}
}

// onePage is a PDF of one page that draws what content says; /I is a grey picture.
func onePage(content string) []byte {
	var b bytes.Buffer
	b.WriteString("%PDF-1.4\n")
	for i, o := range []string{
		"<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Count 1/Kids[3 0 R]>>",
		"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R/Resources<</XObject<</I 5 0 R>>/Font<</F 6 0 R>>>>>>",
		fmt.Sprintf("<</Length %d>>\nstream\n%s\nendstream", len(content), content),
		"<</Type/XObject/Subtype/Image/Width 1/Height 1/ColorSpace/DeviceGray/BitsPerComponent 8/Length 1>>\nstream\nx\nendstream",
		"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
	} {
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	b.WriteString("trailer<</Root 1 0 R/Size 7>>\n%%EOF\n")
	return b.Bytes()
}

func FuzzPDF(f *testing.F) {
	for _, c := range []string{"", "BT /F 12 Tf 50 700 Td (Take 5 mg.) Tj ET", "BT /F 9 Tf 0 1 -1 0 50 700 Tm (on its side) Tj ET 50 50 100 1 re f"} {
		f.Add([]byte(c))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		for _, data := range [][]byte{onePage(string(content)), append([]byte("%PDF-1.4\n"), content...)} {
			_, err := ReadBytes(context.Background(), "a.pdf", data, Options{MaxFileTime: 20 * time.Second, Tesseract: "no-tesseract"}, func(d *Document) error {
				wellFormed(t, d)
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
	})
}
