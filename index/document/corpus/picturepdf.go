package main

import (
	"bytes"
	"fmt"
	"image/jpeg"
	"os"
	"slices"
	"strconv"
)

// picturesToPDF writes what a scanner writes: a JPEG on each page, and no text.
func (m *maker) picturesToPDF(pages []string, out string, args []string) error {
	dpi := 300
	if i := slices.Index(args, "-density"); i >= 0 {
		dpi, _ = strconv.Atoi(args[i+1])
	}
	var b bytes.Buffer
	var at []int
	obj := func(s string, stream []byte) {
		at = append(at, b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n%s\n", len(at), s)
		if stream != nil {
			b.WriteString("stream\n")
			b.Write(stream)
			b.WriteString("\nendstream\n")
		}
		b.WriteString("endobj\n")
	}
	b.WriteString("%PDF-1.4\n")
	obj("<</Type/Catalog/Pages 2 0 R>>", nil)
	kids := ""
	for i := range pages {
		kids += fmt.Sprintf("%d 0 R ", 3+3*i)
	}
	obj(fmt.Sprintf("<</Type/Pages/Count %d/Kids[%s]>>", len(pages), kids), nil)
	for i, p := range pages {
		raw, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		c, err := jpeg.DecodeConfig(bytes.NewReader(raw))
		if err != nil {
			return err
		}
		w, h := float64(c.Width)*72/float64(dpi), float64(c.Height)*72/float64(dpi)
		n := 3 + 3*i
		obj(fmt.Sprintf("<</Type/Page/Parent 2 0 R/MediaBox[0 0 %.2f %.2f]/Contents %d 0 R/Resources<</XObject<</I %d 0 R>>>>>>", w, h, n+1, n+2), nil)
		draw := fmt.Sprintf("%.2f 0 0 %.2f 0 0 cm /I Do", w, h)
		obj(fmt.Sprintf("<</Length %d>>", len(draw)), []byte(draw))
		space := "/DeviceGray"
		if c.ColorModel != nil {
			if im, err := jpeg.Decode(bytes.NewReader(raw)); err == nil && fmt.Sprintf("%T", im) != "*image.Gray" {
				space = "/DeviceRGB"
			}
		}
		obj(fmt.Sprintf("<</Type/XObject/Subtype/Image/Width %d/Height %d/ColorSpace%s/BitsPerComponent 8/Filter/DCTDecode/Length %d>>", c.Width, c.Height, space, len(raw)), raw)
	}
	xref := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(at)+1)
	for _, a := range at {
		fmt.Fprintf(&b, "%010d 00000 n \n", a)
	}
	fmt.Fprintf(&b, "trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n", len(at)+1, xref)
	return os.WriteFile(out, b.Bytes(), 0o644)
}
