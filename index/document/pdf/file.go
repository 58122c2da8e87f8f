package pdf

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"strings"
	"time"

	"github.com/klippa-app/go-pdfium"
	pdfiumerrors "github.com/klippa-app/go-pdfium/errors"
	"github.com/klippa-app/go-pdfium/references"
	"github.com/klippa-app/go-pdfium/requests"
)

// What can be wrong with a file as a whole.
var (
	ErrPassword = errors.New("it is encrypted and needs a password")
	ErrSecurity = errors.New("it is encrypted in a way that cannot be read")
	ErrDamaged  = errors.New("it is damaged, or no PDF")
)

// Config is how a file is opened.
type Config struct {
	CacheDir string        // for the compiled engine; "" is the user's cache folder
	PageTime time.Duration // for one page, and for opening; 0 is 30 s
}

// perInstance pages are read in one sandbox, then another takes its place: what
// a sandbox has taken of memory it never gives back.
const perInstance = 40

// File is an open PDF. It is used by one goroutine.
type File struct {
	ctx   context.Context
	end   context.CancelFunc // ends the sandbox, whatever it does
	cfg   Config
	src   io.ReadSeeker
	size  int64
	pool  pdfium.Pool
	inst  pdfium.Pdfium
	doc   references.FPDF_DOCUMENT
	used  int // pages since inst was started
	pages int
	title string
}

// Open opens a PDF; src is read from while the File is open. An empty user
// password is tried. Errors: ErrPassword, ErrSecurity, ErrDamaged, ErrTime,
// that of ctx.
func Open(ctx context.Context, src io.ReadSeeker, size int64, cfg Config) (*File, error) {
	if cfg.PageTime <= 0 {
		cfg.PageTime = 30 * time.Second
	}
	if size == 0 {
		return nil, ErrDamaged
	}
	own, end := context.WithCancel(ctx)
	pool, err := shared.acquire(own, cfg.CacheDir)
	if err != nil {
		end()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, err
	}
	f := &File{ctx: ctx, end: end, cfg: cfg, src: src, size: size, pool: pool}
	if err := f.start(); err != nil {
		f.Close()
		return nil, err
	}
	if f.pages == 0 {
		f.Close()
		return nil, ErrDamaged
	}
	return f, nil
}

// Pages is their number.
func (f *File) Pages() int { return f.pages }

// Title is what the file says of itself; often it is the name of another file.
func (f *File) Title() string { return f.title }

// Close frees what the file holds.
func (f *File) Close() {
	f.stop()
	if f.pool != nil {
		shared.release(f.pool)
		f.pool = nil
		f.end()
	}
}

func (f *File) stop() {
	if f.inst != nil {
		_ = f.inst.Close() // a sandbox that is thrown away
		f.inst = nil
	}
}

func (f *File) start() error {
	inst, err := f.pool.GetInstanceWithContext(f.ctx)
	if err != nil {
		if f.ctx.Err() != nil {
			return f.ctx.Err()
		}
		return fmt.Errorf("starting the PDF engine: %w", err)
	}
	f.inst, f.used = inst, 0
	return f.guard(func() error {
		if _, err := f.src.Seek(0, io.SeekStart); err != nil {
			return err
		}
		empty := ""
		open, err := inst.OpenDocument(&requests.OpenDocument{FileReader: f.src, FileReaderSize: f.size, Password: &empty})
		switch {
		case errors.Is(err, pdfiumerrors.ErrPassword):
			return ErrPassword
		case errors.Is(err, pdfiumerrors.ErrSecurity):
			return ErrSecurity
		case err != nil:
			return ErrDamaged
		}
		f.doc = open.Document
		n, err := inst.FPDF_GetPageCount(&requests.FPDF_GetPageCount{Document: f.doc})
		if err != nil {
			return ErrDamaged
		}
		f.pages = n.PageCount
		if t, err := inst.FPDF_GetMetaText(&requests.FPDF_GetMetaText{Document: f.doc, Tag: "Title"}); err == nil {
			f.title = strings.TrimSpace(t.Value)
		}
		return nil
	})
}

// guard runs do, which speaks to the sandbox, within the time of a page. A
// sandbox that is too slow, or breaks, is thrown away with what it was doing.
func (f *File) guard(do func() error) (err error) {
	inst := f.inst
	late := make(chan struct{})
	timer := time.AfterFunc(f.cfg.PageTime, func() { close(late); f.end() })
	defer func() {
		if r := recover(); r != nil {
			err = ErrDamaged // the sandbox's own trap, or what came of a kill
		}
		timer.Stop()
		if f.ctx.Err() != nil {
			err = f.ctx.Err()
		} else {
			select {
			case <-late:
				err = ErrTime
			default:
			}
		}
		if err != nil {
			f.inst = nil
			_ = inst.Kill() // here, where nothing else uses it
		}
	}()
	return do()
}

// ready sees to it that a sandbox with room is there.
func (f *File) ready() error {
	if f.inst != nil && f.used < perInstance {
		f.used++
		return nil
	}
	f.stop()
	if err := f.start(); err != nil {
		return err
	}
	f.used++
	return nil
}

// Page reads page n, from 0. ErrDamaged concerns this page alone.
func (f *File) Page(n int) (p Page, err error) {
	if err := f.ready(); err != nil {
		return Page{}, err
	}
	err = f.guard(func() error {
		loaded, err := f.inst.FPDF_LoadPage(&requests.FPDF_LoadPage{Document: f.doc, Index: n})
		if err != nil {
			return ErrDamaged
		}
		r := pageReader{inst: f.inst, page: requests.Page{ByReference: &loaded.Page}}
		p, err = r.read()
		if err != nil {
			return err
		}
		_, err = f.inst.FPDF_ClosePage(&requests.FPDF_ClosePage{Page: loaded.Page})
		return err
	})
	return p, err
}

// Picture draws page n, from 0, in grey at dpi dots to the inch, as it is shown:
// turned as the file says. The picture is at most maxPixels large.
func (f *File) Picture(n, dpi, maxPixels int) (out *image.Gray, err error) {
	if err := f.ready(); err != nil {
		return nil, err
	}
	err = f.guard(func() error {
		page := requests.Page{ByIndex: &requests.PageByIndex{Document: f.doc, Index: n}}
		size, err := f.inst.GetPageSize(&requests.GetPageSize{Page: page})
		if err != nil {
			return ErrDamaged
		}
		for dpi > 36 && size.Width*size.Height*float64(dpi)*float64(dpi)/(72*72) > float64(maxPixels) {
			dpi = dpi * 9 / 10
		}
		r, err := f.inst.RenderPageInDPI(&requests.RenderPageInDPI{Page: page, DPI: dpi, ImageFormat: requests.RenderImageFormatGrayscale})
		if err != nil {
			return ErrDamaged
		}
		defer r.Cleanup()
		g, ok := r.Result.RenderedImage.(*image.Gray)
		if !ok {
			return ErrDamaged
		}
		own := *g
		own.Pix = append([]uint8(nil), g.Pix...)
		out = &own
		return nil
	})
	f.used += perInstance / 8 // pictures take the most memory
	return out, err
}
