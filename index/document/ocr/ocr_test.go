package ocr

import (
	"context"
	"errors"
	"image"
	"image/color"
	"image/draw"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// typeset draws lines of text as a printer at 300 dpi would; it returns the box of
// each word as it is placed, by its text.
func typeset(t testing.TB, g *image.Gray, points float64, x, y int, lines ...string) map[string]image.Rectangle {
	t.Helper()
	f, err := opentype.Parse(goregular.TTF)
	if err != nil {
		t.Fatal(err)
	}
	face, err := opentype.NewFace(f, &opentype.FaceOptions{Size: points, DPI: workDPI, Hinting: font.HintingNone})
	if err != nil {
		t.Fatal(err)
	}
	boxes := map[string]image.Rectangle{}
	d := font.Drawer{Dst: g, Src: image.Black, Face: face}
	pitch := int(points * 1.4 * workDPI / 72)
	for i, l := range lines {
		d.Dot = fixed.P(x, y+i*pitch)
		for _, w := range strings.Fields(l) {
			b, _ := font.BoundString(face, w)
			at := d.Dot
			boxes[w] = image.Rect((at.X + b.Min.X).Floor(), (at.Y + b.Min.Y).Floor(), (at.X + b.Max.X).Ceil(), (at.Y + b.Max.Y).Ceil())
			d.DrawString(w + " ")
		}
	}
	return boxes
}

func blank(w, h int) *image.Gray {
	g := image.NewGray(image.Rect(0, 0, w, h))
	draw.Draw(g, g.Rect, image.NewUniform(color.Gray{250}), image.Point{}, draw.Src)
	return g
}

// asRead is a line whose words were read as said, whatever is printed.
func asRead(t *testing.T, printed, said []string) (*sheet, *line) {
	t.Helper()
	g := blank(1600, 200)
	boxes := typeset(t, g, 10, 40, 120, strings.Join(printed, " "))
	l := &line{}
	for i, p := range printed {
		l.words = append(l.words, &word{text: said[i], box: boxes[p], conf: 96})
		l.box = l.box.Union(boxes[p])
	}
	s := newSheet(g)
	s.measure([]*line{l})
	return s, l
}

// What both readings can have wrong in the same way, the ink shows.
func TestInkAgrees(t *testing.T) {
	t.Parallel()
	printed := strings.Fields("Hold 0.5 105 1,000 2.5mg 10-20 (75%) 300 mg/kg/day")
	for _, c := range []struct {
		at   int
		said string
		want bool
	}{
		{1, "0.5", true}, {1, "05", false}, {1, "5", false}, {1, "0.05", false}, {1, "0,5", true},
		{2, "105", true}, {2, "10.5", false}, {2, "15", false}, {2, "1055", false},
		{3, "1,000", true}, {3, "1000", false}, {3, "1,00", false}, {3, "10,000", false},
		{4, "2.5mg", true}, {4, "25mg", false}, {4, "2.5g", false}, {4, "2.5mcg", false},
		{5, "10-20", true}, {5, "1020", false}, {5, "10-2", false},
		{6, "(75%)", true}, {6, "(7.5%)", false}, {6, "(5%)", false},
		{7, "300", true}, {7, "30", false}, {7, "3.00", false}, {7, "30.0", false},
	} {
		said := append([]string(nil), printed...)
		said[c.at] = c.said
		s, l := asRead(t, printed, said)
		if got := s.inkAgrees(l, l.words[c.at]); got != c.want {
			t.Errorf("%s read as %s: %v", printed[c.at], c.said, got)
		}
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	printed := strings.Fields("Take 5 mg daily, hot soup with 20 mcg of it")
	for name, c := range map[string]struct{ first, second, want string }{
		"same":           {"Take 5 mg daily, hot soup with 20 mcg of it", "Take 5 mg daily, hot soup with 20 mcg of it", "Take 5 mg daily, hot soup with 20 mcg of it"},
		"a digit":        {"Take 6 mg daily, hot soup with 20 mcg of it", "Take 5 mg daily, hot soup with 20 mcg of it", "Take # mg daily, hot soup with 20 mcg of it"},
		"a unit":         {"Take 5 mg daily, hot soup with 20 mg of it", "Take 5 mg daily, hot soup with 20 mcg of it", "Take 5 mg daily, hot soup with 20 # of it"},
		"a denial":       {"Take 5 mg daily, not soup with 20 mcg of it", "Take 5 mg daily, hot soup with 20 mcg of it", "Take 5 mg daily, # soup with 20 mcg of it"},
		"letters":        {"Take S mg daily, hot soup with 20 mcg of it", "Take S mg daily, hot soup with 20 mcg of it", "Take # mg daily, hot soup with 20 mcg of it"},
		"closing marks":  {"Take 5 mg daily. hot soup with 20 mcg of it", "Take 5 mg daily, hot soup with 20 mcg of it", "Take 5 mg daily. hot soup with 20 mcg of it"},
		"a plain word":   {"Take 5 mg daily, hot soap with 20 mcg of it", "Take 5 mg daily, hot soup with 20 mcg of it", "Take 5 mg daily, hot soap with 20 mcg of it"},
		"same but short": {"Take 5 mg daily, hot soup with 2 mcg of it", "Take 5 mg daily, hot soup with 2 mcg of it", "Take 5 mg daily, hot soup with # mcg of it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, l := asRead(t, printed, strings.Fields(c.first))
			var other []*word
			for i, w := range strings.Fields(c.second) {
				other = append(other, &word{text: w, box: l.words[i].box, conf: 90})
			}
			s.judge(l, other)
			var got []string
			for _, w := range l.words {
				if w.lost {
					w.text = "#"
				}
				got = append(got, w.text)
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("%q", got)
			}
		})
	}
	// What only the second reading has seen is marked where it stands.
	s, l := asRead(t, printed, printed)
	other := append([]*word(nil), l.words...)
	l.words = append(append([]*word(nil), l.words[:1]...), l.words[2:]...)
	s.judge(l, other)
	if len(l.words) != len(printed) || !l.words[1].lost || l.words[0].lost {
		t.Errorf("%d words", len(l.words))
	}
}

// 10⁶ is not 106.
func TestRaised(t *testing.T) {
	t.Parallel()
	g := blank(600, 200)
	a := typeset(t, g, 10, 40, 120, "10")["10"]
	b := typeset(t, g, 6, a.Max.X+3, 104, "6")["6"]
	c := typeset(t, g, 10, b.Max.X+30, 120, "Hd")["Hd"]
	l := &line{words: []*word{{text: "106", box: a.Union(b), conf: 90}, {text: "Hd", box: c, conf: 90}}, box: a.Union(b).Union(c)}
	s := newSheet(g)
	s.measure([]*line{l})
	if !s.inkAgrees(l, l.words[0]) {
		t.Fatal("not the ink of three digits")
	}
	out := s.written(l, l.words[0], 1)
	if len(out) != 2 || out[0].Text != "10" || out[1].Text != "6" || !out[1].Glue || out[1].Base >= out[0].Base-0.2*out[0].Size {
		t.Errorf("%+v", out)
	}
}

func TestStraighten(t *testing.T) {
	t.Parallel()
	page := blank(1100, 900)
	words := strings.Fields("Take the tablets with a little water in the morning before eating anything else unless you were told otherwise by whoever prescribed them")
	var lines []string
	for i := range 11 { // no two lines alike: columns of one letter are rows, too
		lines = append(lines, strings.Join(append(append([]string(nil), words[i*3%11:i*3%11+5]...), words[i:i+3]...), " "))
	}
	typeset(t, page, 8, 100, 120, lines...)
	cfg := fake(t, "exit 1")
	e := &Engine{cfg: Config{PageTime: time.Minute, Memory: 1 << 30}, path: cfg.Path}
	for _, angle := range []float64{0, 0.4, -3, 6.5} {
		for turned, g := range []*image.Gray{page, quarter(page, 3)} {
			var res Result
			s, err := e.straighten(context.Background(), rotated(g, angle, 250), &res)
			if err != nil || math.Abs(res.Skew-angle) > 0.15 || res.Turned != turned%4 {
				t.Errorf("%v°, %d: found %v°, turned %d, %v", angle, turned, res.Skew, res.Turned, err)
			}
			if s.grey.Bounds().Dx() < 900 {
				t.Error("a corner is lost")
			}
		}
	}
	var res Result
	if _, err := e.straighten(context.Background(), blank(1000, 1000), &res); err != nil || !res.Blank {
		t.Error("a blank page is not blank", err)
	}
	for n := range 4 {
		if back := quarter(quarter(page, n), 4-n); string(back.Pix) != string(page.Pix) {
			t.Errorf("%d quarters there and back", n)
		}
	}
}

func TestRules(t *testing.T) {
	t.Parallel()
	g := blank(1500, 900)
	black := func(r image.Rectangle) { draw.Draw(g, r, image.Black, image.Point{}, draw.Src) }
	for i := range 4 {
		black(image.Rect(100, 100+i*150, 1303, 103+i*150))
		black(image.Rect(100+i*400, 100, 103+i*400, 553))
	}
	typeset(t, g, 10, 150, 190, "12.5 mg", "", "mill")
	s := newSheet(g)
	if len(s.rules) != 8 || len(s.cells) != 9 {
		t.Fatalf("%d rules, %d cells", len(s.rules), len(s.cells))
	}
	for _, b := range s.ink.all {
		if b.box.Dx() > 100 || b.box.Dy() > 100 {
			t.Errorf("a rule is still there: %v", b.box)
		}
	}
	if c := s.cells[0]; c.Min.X < 98 || c.Min.X > 104 || c.Max.Y < 248 || c.Max.Y > 254 {
		t.Errorf("the first cell is %v", c)
	}
}

// fake is a program that answers as tesseract does, and then does as script says.
func fake(t *testing.T, script string) Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tesseract")
	head := "#!/bin/sh\ncase \"$*\" in *--version*) echo tesseract 5.3.0; exit;; *--list-langs*) printf 'eng\\nosd\\ndeu\\n'; exit;; esac\n"
	if err := os.WriteFile(path, []byte(head+script), 0o700); err != nil {
		t.Fatal(err)
	}
	return Config{Path: path}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	page := blank(600, 300)
	typeset(t, page, 10, 50, 120, "Take 5 mg daily", "with some water")
	read := func(ctx context.Context, c Config) error {
		e, err := Find(ctx, c)
		if err != nil {
			return err
		}
		_, err = e.Read(ctx, page, workDPI, 1)
		return err
	}
	if err := read(context.Background(), Config{Path: filepath.Join(t.TempDir(), "none")}); !errors.Is(err, ErrAbsent) {
		t.Error(err)
	}
	for name, c := range map[string]struct {
		script string
		want   error
	}{
		"it fails":  {"echo Take 5 mg daily >&2; exit 1", ErrFailed},
		"no table":  {"echo hello", ErrFailed},
		"noise":     {"head -c 100000 /dev/zero", ErrFailed},
		"a flood":   {"exec yes 1", ErrTime},
		"it stalls": {"sleep 60 & wait", ErrTime},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := fake(t, c.script)
			cfg.PageTime = 2 * time.Second
			if err := read(context.Background(), cfg); !errors.Is(err, c.want) || strings.Contains(err.Error(), "Take") {
				t.Error(err)
			}
		})
	}
}

// A cancelled reading ends the program with all that it has started.
func TestCancel(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := fake(t, "sleep 300 & echo $! > "+dir+"/pid.new; mv "+dir+"/pid.new "+dir+"/pid; wait")
	e, err := Find(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := e.words(ctx, blank(10, 10), firstModel, 3)
		done <- err
	}()
	var pid int
	for pid == 0 {
		if b, err := os.ReadFile(dir + "/pid"); err == nil {
			pid, _ = strconv.Atoi(strings.TrimSpace(string(b)))
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		if stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat"); err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		if syscall.Kill(pid, 0) != nil {
			return
		}
	}
	t.Error("what it started goes on")
}

func FuzzTSV(f *testing.F) {
	f.Add([]byte("level\tpage_num\tblock_num\tpar_num\tline_num\tword_num\tleft\ttop\twidth\theight\tconf\ttext\n5\t1\t1\t1\t1\t1\t166\t188\t180\t50\t96.65\tDoses\n5\t1\t1\t1\t1\t2\t400\t188\t180\t50\t-1\t5 mg\n"))
	f.Add([]byte("5\t1\t1\t1\t1\t1\t1\t1\t16777216\t1\tNaN\tx"))
	f.Add([]byte("1\t2\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		lines, err := parseTSV(data, image.Rect(0, 0, 1000, 1000))
		if err != nil && (!errors.Is(err, ErrFailed) || lines != nil) {
			t.Error(err)
		}
		for _, l := range lines {
			for _, w := range l.words {
				if w.text == "" || w.box.Empty() || !w.box.In(l.box) || w.conf < 0 || w.conf > 100 {
					t.Errorf("%+v", w)
				}
			}
		}
	})
}
