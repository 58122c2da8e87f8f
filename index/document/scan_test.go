package document

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rxedge/index/document/ocr"
)

// needsTesseract skips where scans cannot be read.
func needsTesseract(t *testing.T) {
	t.Helper()
	if _, err := ocr.Find(context.Background(), ocr.Config{}); err != nil {
		t.Skipf("%v: %s", err, installFix)
	}
}

// The scan is of a real label, tilted by a degree; 'make document-corpus' made it.
func TestScan(t *testing.T) {
	t.Parallel()
	needsTesseract(t)
	raw, err := os.ReadFile(filepath.Join("testdata", "scan", "truth.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all []said
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	picture, err := os.ReadFile(filepath.Join("testdata", "scan", all[0].File))
	if err != nil {
		t.Fatal(err)
	}
	d := readOne(t, all[0].File, picture)
	wellFormed(t, d)
	if d.Kind != KindPicture || d.Title != "metformin" || !strings.HasPrefix(d.Notice, "Read from a scan") || !strings.HasSuffix(d.Notice, "check it against the original.") {
		t.Errorf("%s, %q: %q", d.Kind, d.Title, d.Notice)
	}
	out := d.Title + "\n"
	for _, s := range d.Sections {
		out += s.Title + "\n" + s.Text + "\n"
		if len(s.Places) == 0 || s.Places[0].Page != 1 {
			t.Errorf("places %v", s.Places)
		}
	}
	truth, got := strings.Join(all[0].Text, "\n"), out
	if r := share(common(tokens(truth), tokens(got)), len(tokens(truth))); r < 0.97 {
		t.Errorf("recall %.3f:\n%s", r, out)
	}
	if cells, right := tableCells(all[0].Tables, out, true); right*100 < cells*95 {
		t.Errorf("%d of %d cells:\n%s", right, cells, out)
	}
	if c := countNumbers(strings.Fields(truth), strings.Fields(got)); len(c.bad) > 0 || c.gone > 0 || c.unread*10 > c.all {
		t.Errorf("%+v", c)
	}
}

func TestScanWithoutTesseract(t *testing.T) {
	t.Parallel()
	picture, err := os.ReadFile(filepath.Join("testdata", "scan", "label.png"))
	if err != nil {
		t.Fatal(err)
	}
	p := problemOf(t, "label.png", picture, Options{Tesseract: "no-tesseract"})
	if !strings.Contains(p.Reason, "needs tesseract") || !strings.Contains(p.Fix, "apt-get install tesseract-ocr") {
		t.Error(p)
	}
	if p := problemOf(t, "cut.png", picture[:len(picture)/2], Options{Tesseract: "no-tesseract"}); !strings.Contains(p.Reason, "damaged") {
		t.Error(p)
	}
}

// What is too faint, too small or no text is refused with what to do about it.
func TestScanRefused(t *testing.T) {
	t.Parallel()
	needsTesseract(t)
	raw, err := os.ReadFile(filepath.Join("testdata", "scan", "label.png"))
	if err != nil {
		t.Fatal(err)
	}
	full, err := png.Decode(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	// One dot of every five each way: 60 dpi.
	b := full.Bounds()
	small := image.NewGray(image.Rect(0, 0, b.Dx()/5, b.Dy()/5))
	for y := range small.Rect.Dy() {
		for x := range small.Rect.Dx() {
			small.Set(x, y, full.At(b.Min.X+5*x, b.Min.Y+5*y))
		}
	}
	blank := image.NewGray(image.Rect(0, 0, 300, 300))
	draw.Draw(blank, blank.Rect, image.NewUniform(color.Gray{240}), image.Point{}, draw.Src)
	for name, c := range map[string]struct {
		im   image.Image
		want []string
	}{
		"small.png": {small, []string{"could not be read with confidence", "no text was found"}},
		"blank.png": {blank, []string{"no text was found"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			if err := png.Encode(&out, c.im); err != nil {
				t.Fatal(err)
			}
			p := problemOf(t, name, out.Bytes(), Options{})
			ok := false
			for _, w := range c.want {
				ok = ok || strings.Contains(p.Reason, w)
			}
			if !ok {
				t.Error(p)
			}
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	opt := Options{Progress: func(Progress) { cancel() }}
	if _, err := Read(ctx, filepath.Join("testdata", "scan", "label.png"), opt, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
