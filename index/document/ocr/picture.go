package ocr

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"

	"golang.org/x/image/tiff"
)

// What can be wrong with the file of a picture.
var (
	ErrDamaged = errors.New("the picture is damaged, or of a form that is not read")
	ErrLarge   = errors.New("the picture has too many dots")
)

// maxDots of a picture, by bytes that decoding it takes for each: A4 at 600 dpi has
// 35 million.
const (
	maxBytes = 300 << 20
	maxSide  = 40_000
	maxPages = 10_000
)

// Pictures is the file of a picture, with several pages where it is a TIFF.
type Pictures struct {
	src   io.ReaderAt
	size  int64
	form  string // png, jpeg, tiff
	pages []int64
	order binary.ByteOrder
}

// Form is that of the picture that begins with head; "" where it is none of those
// that are read.
func Form(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte("\x89PNG\r\n\x1a\n")):
		return "png"
	case bytes.HasPrefix(head, []byte("\xff\xd8\xff")):
		return "jpeg"
	case bytes.HasPrefix(head, []byte("II*\x00")), bytes.HasPrefix(head, []byte("MM\x00*")):
		return "tiff"
	}
	return ""
}

// OpenPictures finds the pages of a file. src is read from while they are used.
// Errors: ErrDamaged.
func OpenPictures(src io.ReaderAt, size int64) (*Pictures, error) {
	head := make([]byte, 8)
	if _, err := src.ReadAt(head, 0); err != nil {
		return nil, ErrDamaged
	}
	p := &Pictures{src: src, size: size, form: Form(head), pages: []int64{0}}
	switch p.form {
	case "":
		return nil, ErrDamaged
	case "tiff":
		p.order = binary.LittleEndian
		if head[0] == 'M' {
			p.order = binary.BigEndian
		}
		return p, p.folders(int64(p.order.Uint32(head[4:])))
	}
	return p, nil
}

// folders follows the chain of a TIFF's pages.
func (p *Pictures) folders(at int64) error {
	p.pages = nil
	seen := map[int64]bool{}
	for at != 0 {
		if seen[at] || len(p.pages) >= maxPages {
			return ErrDamaged
		}
		seen[at] = true
		n := make([]byte, 2)
		if _, err := p.src.ReadAt(n, at); err != nil {
			return ErrDamaged
		}
		p.pages = append(p.pages, at)
		next := make([]byte, 4)
		if _, err := p.src.ReadAt(next, at+2+12*int64(p.order.Uint16(n))); err != nil {
			return ErrDamaged
		}
		at = int64(p.order.Uint32(next))
	}
	if len(p.pages) == 0 {
		return ErrDamaged
	}
	return nil
}

// Pages is their number.
func (p *Pictures) Pages() int { return len(p.pages) }

// page is the file as if its n-th page were the first.
func (p *Pictures) page(n int) *io.SectionReader {
	if p.form != "tiff" {
		return io.NewSectionReader(p.src, 0, p.size)
	}
	var at [4]byte
	p.order.PutUint32(at[:], uint32(p.pages[n]))
	return io.NewSectionReader(&patched{p.src, at}, 0, p.size)
}

// patched is a TIFF whose head names another page.
type patched struct {
	src io.ReaderAt
	at  [4]byte
}

func (p *patched) ReadAt(b []byte, off int64) (int, error) {
	n, err := p.src.ReadAt(b, off)
	for i := range p.at {
		if k := int64(4+i) - off; k >= 0 && k < int64(n) {
			b[k] = p.at[i]
		}
	}
	return n, err
}

// Grey decodes page n, from 0, and says how many dots are an inch. Its size is
// looked at before anything is decoded. Errors: ErrDamaged, ErrLarge.
func (p *Pictures) Grey(n int) (g *image.Gray, dpi float64, err error) {
	defer func() {
		if r := recover(); r != nil { // decoders of others, fed with anything
			g, err = nil, ErrDamaged
		}
	}()
	c, err := p.config(n)
	if err != nil {
		return nil, 0, ErrDamaged
	}
	if c.Width <= 0 || c.Height <= 0 || c.Width > maxSide || c.Height > maxSide || int64(c.Width)*int64(c.Height)*p.bytesPerDot(c) > maxBytes {
		return nil, 0, fmt.Errorf("%w: %d × %d", ErrLarge, c.Width, c.Height)
	}
	var im image.Image
	switch r := p.page(n); p.form {
	case "png":
		im, err = png.Decode(r)
	case "jpeg":
		im, err = jpeg.Decode(r)
	default:
		im, err = tiff.Decode(r)
	}
	if err != nil || im.Bounds().Dx() != c.Width || im.Bounds().Dy() != c.Height {
		return nil, 0, ErrDamaged
	}
	return grey(im), p.resolution(n, c), nil
}

func (p *Pictures) config(n int) (image.Config, error) {
	switch r := p.page(n); p.form {
	case "png":
		return png.DecodeConfig(r)
	case "jpeg":
		return jpeg.DecodeConfig(r)
	default:
		return tiff.DecodeConfig(r)
	}
}

// bytesPerDot is what decoding takes at most.
func (p *Pictures) bytesPerDot(c image.Config) int64 {
	switch c.ColorModel {
	case color.GrayModel:
		if p.form == "jpeg" {
			return 6 // coefficients of one that is progressive
		}
		return 1
	case color.Gray16Model:
		return 2
	case color.YCbCrModel:
		if p.progressive() {
			return 15
		}
		return 3
	case color.RGBA64Model, color.NRGBA64Model:
		return 8
	}
	if _, ok := c.ColorModel.(color.Palette); ok {
		return 1
	}
	return 4
}

// progressive: such a JPEG is held as a whole before anything of it is seen.
func (p *Pictures) progressive() bool {
	at := int64(2)
	b := make([]byte, 4)
	for range 200 {
		if _, err := p.src.ReadAt(b, at); err != nil || b[0] != 0xff {
			return false
		}
		switch {
		case b[1] == 0xc2:
			return true
		case b[1] == 0xda || b[1] == 0xc0 || b[1] == 0xc1:
			return false
		case b[1] == 0xff:
			at++
			continue
		}
		at += 2 + int64(binary.BigEndian.Uint16(b[2:]))
	}
	return false
}

// grey is the picture without its colours, what shows through as white.
func grey(im image.Image) *image.Gray {
	b := im.Bounds()
	out := image.NewGray(image.Rect(0, 0, b.Dx(), b.Dy()))
	switch im := im.(type) {
	case *image.Gray:
		for y := range b.Dy() {
			copy(out.Pix[y*out.Stride:(y+1)*out.Stride], im.Pix[im.PixOffset(b.Min.X, b.Min.Y+y):])
		}
	case *image.YCbCr:
		for y := range b.Dy() {
			copy(out.Pix[y*out.Stride:(y+1)*out.Stride], im.Y[im.YOffset(b.Min.X, b.Min.Y+y):])
		}
	default:
		for y := range b.Dy() {
			for x := range b.Dx() {
				r, g, bl, a := im.At(b.Min.X+x, b.Min.Y+y).RGBA()
				v := (19595*r + 38470*g + 7471*bl + 1<<15) >> 16
				out.Pix[y*out.Stride+x] = uint8((v + 0xffff - a) >> 8)
			}
		}
	}
	return out
}

// resolution is what the file says of itself where that makes a page of some
// likely size; else the longer side is taken for that of A4.
func (p *Pictures) resolution(n int, c image.Config) float64 {
	long := float64(max(c.Width, c.Height))
	if d := p.stated(n); d >= 70 && d <= 1250 && long/d > 4 && long/d < 24 {
		return d
	}
	return max(70, min(long/11.69, 1250))
}

// stated is the resolution that the file gives, in dots to the inch; 0 where it
// gives none.
func (p *Pictures) stated(n int) float64 {
	switch p.form {
	case "jpeg":
		b := make([]byte, 18)
		if _, err := p.src.ReadAt(b, 0); err != nil || b[3] != 0xe0 || string(b[6:10]) != "JFIF" {
			return 0
		}
		d := float64(binary.BigEndian.Uint16(b[14:]))
		switch b[13] {
		case 1:
			return d
		case 2:
			return d * 2.54
		}
	case "png":
		b := make([]byte, 21)
		for at := int64(8); at < p.size; {
			if _, err := p.src.ReadAt(b, at); err != nil || string(b[4:8]) == "IDAT" {
				return 0
			}
			if string(b[4:8]) == "pHYs" && b[16] == 1 {
				return float64(binary.BigEndian.Uint32(b[8:])) * 0.0254
			}
			at += 12 + int64(binary.BigEndian.Uint32(b))
		}
	case "tiff":
		const width, unit = 282, 296
		b := make([]byte, 12)
		dots, per := 0.0, 1.0
		head := make([]byte, 2)
		if _, err := p.src.ReadAt(head, p.pages[n]); err != nil {
			return 0
		}
		for i := range int64(p.order.Uint16(head)) {
			if _, err := p.src.ReadAt(b, p.pages[n]+2+12*i); err != nil {
				return 0
			}
			switch p.order.Uint16(b) {
			case width:
				v := make([]byte, 8)
				if _, err := p.src.ReadAt(v, int64(p.order.Uint32(b[8:]))); err == nil && p.order.Uint32(v[4:]) > 0 {
					dots = float64(p.order.Uint32(v)) / float64(p.order.Uint32(v[4:]))
				}
			case unit:
				if p.order.Uint16(b[8:]) == 3 {
					per = 2.54
				}
			}
		}
		return dots * per
	}
	return 0
}
