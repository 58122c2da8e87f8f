package ocr

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"testing"

	"golang.org/x/image/tiff"
)

func encoded(t testing.TB, form string, w, h int) []byte {
	t.Helper()
	g := image.NewGray(image.Rect(0, 0, w, h))
	for i := range g.Pix {
		g.Pix[i] = uint8(i * 7)
	}
	var b bytes.Buffer
	var err error
	switch form {
	case "png":
		err = png.Encode(&b, g)
	case "jpeg":
		err = jpeg.Encode(&b, g, nil)
	default:
		err = tiff.Encode(&b, g, &tiff.Options{Compression: tiff.Deflate})
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// twoPages puts a second page behind a TIFF of one.
func twoPages(t testing.TB, a, b []byte) []byte {
	t.Helper()
	o := binary.LittleEndian
	at := o.Uint32(a[4:])
	next := at + 2 + 12*uint32(o.Uint16(a[at:]))
	out := append([]byte(nil), a...)
	shift := uint32(len(out))
	o.PutUint32(out[next:], shift+o.Uint32(b[4:]))
	out = append(out, b...)
	// What the second page points to has moved.
	dir := shift + o.Uint32(b[4:])
	for i := range uint32(o.Uint16(out[dir:])) {
		e := out[dir+2+12*i:]
		size := map[uint16]uint32{1: 1, 2: 1, 3: 2, 4: 4, 5: 8}[o.Uint16(e[2:])] * o.Uint32(e[4:])
		if size > 4 || o.Uint16(e) == 273 {
			o.PutUint32(e[8:], o.Uint32(e[8:])+shift)
		}
	}
	return out
}

func TestPictures(t *testing.T) {
	t.Parallel()
	for form, data := range map[string][]byte{"png": encoded(t, "png", 90, 60), "jpeg": encoded(t, "jpeg", 90, 60), "tiff": encoded(t, "tiff", 90, 60)} {
		p, err := OpenPictures(bytes.NewReader(data), int64(len(data)))
		if err != nil || p.Pages() != 1 || Form(data) != form {
			t.Fatalf("%s: %v", form, err)
		}
		g, dpi, err := p.Grey(0)
		if err != nil || g.Bounds() != image.Rect(0, 0, 90, 60) || dpi < 70 || dpi > 1250 {
			t.Errorf("%s: %v, %v dpi", form, err, dpi)
		}
		cut := data[:len(data)*2/3]
		if p, err := OpenPictures(bytes.NewReader(cut), int64(len(cut))); err == nil {
			if _, _, err = p.Grey(0); !errors.Is(err, ErrDamaged) {
				t.Errorf("%s cut short: %v", form, err)
			}
		}
	}
	two := twoPages(t, encoded(t, "tiff", 90, 60), encoded(t, "tiff", 30, 40))
	p, err := OpenPictures(bytes.NewReader(two), int64(len(two)))
	if err != nil || p.Pages() != 2 {
		t.Fatal(err)
	}
	for n, want := range []image.Point{{90, 60}, {30, 40}} {
		if g, _, err := p.Grey(n); err != nil || g.Bounds().Size() != want {
			t.Errorf("page %d: %v", n, err)
		}
	}
	// A chain of pages that comes back to its start.
	binary.LittleEndian.PutUint32(two[len(two)-4:], binary.LittleEndian.Uint32(two[4:]))
	loop := append([]byte(nil), two...)
	at := binary.LittleEndian.Uint32(loop[4:])
	binary.LittleEndian.PutUint32(loop[at+2+12*uint32(binary.LittleEndian.Uint16(loop[at:])):], at)
	if _, err := OpenPictures(bytes.NewReader(loop), int64(len(loop))); !errors.Is(err, ErrDamaged) {
		t.Error(err)
	}
}

// A few bytes that say they are a picture of 30,000 × 30,000 are never decoded.
func TestPictureBomb(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	b.WriteString("\x89PNG\r\n\x1a\n")
	chunk := func(name string, data []byte) {
		_ = binary.Write(&b, binary.BigEndian, uint32(len(data)))
		body := append([]byte(name), data...)
		b.Write(body)
		_ = binary.Write(&b, binary.BigEndian, crc32.ChecksumIEEE(body))
	}
	chunk("IHDR", []byte{0, 0, 0x75, 0x30, 0, 0, 0x75, 0x30, 8, 2, 0, 0, 0})
	var z bytes.Buffer
	w := zlib.NewWriter(&z)
	_, _ = w.Write(make([]byte, 1000))
	w.Close()
	chunk("IDAT", z.Bytes())
	chunk("IEND", nil)
	p, err := OpenPictures(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.Grey(0); !errors.Is(err, ErrLarge) {
		t.Error(err)
	}
}

func TestGreyIsOnWhitePaper(t *testing.T) {
	t.Parallel()
	im := image.NewNRGBA(image.Rect(0, 0, 3, 1))
	im.Set(1, 0, color.NRGBA{0, 0, 0, 255})
	im.Set(2, 0, color.NRGBA{255, 255, 255, 255})
	if g := grey(im); g.Pix[0] != 255 || g.Pix[1] != 0 || g.Pix[2] != 255 {
		t.Error(g.Pix)
	}
}

func FuzzPictures(f *testing.F) {
	for _, form := range []string{"png", "jpeg", "tiff"} {
		f.Add(encoded(f, form, 20, 10))
	}
	f.Add(twoPages(f, encoded(f, "tiff", 9, 6), encoded(f, "tiff", 3, 4)))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := OpenPictures(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Error(err)
			}
			return
		}
		for n := range min(p.Pages(), 4) {
			c, err := p.config(n)
			if err == nil && c.Width*c.Height > 1<<20 {
				continue // within bounds, and slow
			}
			g, dpi, err := p.Grey(n)
			switch {
			case err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrLarge):
				t.Error(err)
			case err == nil && (g.Bounds().Empty() || dpi < 70 || dpi > 1250):
				t.Errorf("%v, %v dpi", g.Bounds(), dpi)
			}
		}
	})
}
