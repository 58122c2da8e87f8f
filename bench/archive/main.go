// Command archive measures how a DailyMed release and an openFDA bulk file are read: it
// makes both of the real labels in -data, with set ids of their own, and reads each in a
// process of its own, for its memory.
//
//	go run ./bench/archive -data ../shared/data -labels 5000 -bulk 1024
package main

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"

	"rxedge/index/document"
)

func main() {
	data := flag.String("data", "../shared/data", "folder of the real labels")
	out := flag.String("out", ".cache/bench-archive", "where the files go; those that are there are read again")
	labels := flag.Int("labels", 5000, "labels in the release")
	bulk := flag.Int("bulk", 1024, "MiB of the bulk file")
	packed := flag.Bool("packed", true, "read the bulk file in a zip, too")
	seed := flag.Uint64("seed", 1, "of set ids and pictures")
	read := flag.String("read", "", "read this file alone and say what it took")
	profile := flag.String("profile", "", "of the processor, into this file; with -read")
	flag.Parse()
	var err error
	if *read != "" {
		err = readOne(*read, *profile)
	} else {
		err = run(*data, *out, *labels, *bulk, *packed, rand.New(rand.NewPCG(*seed, 1)))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "archive:", err)
		os.Exit(1)
	}
}

// figures of one reading.
type figures struct {
	Documents, Problems int
	Bytes               int64 // of the file
	Seconds             float64
	Processor           float64 // seconds
	PeakMB              int
}

func readOne(path, profile string) error {
	if profile != "" {
		f, err := os.Create(profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	var out figures
	start := time.Now()
	problems, err := document.Read(context.Background(), path, document.Options{}, func(*document.Document) error {
		out.Documents++
		return nil
	})
	if err != nil {
		return err
	}
	out.Seconds, out.Problems = time.Since(start).Seconds(), len(problems)
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	out.Bytes = info.Size()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		return err
	}
	out.Processor = time.Duration(use.Utime.Nano() + use.Stime.Nano()).Seconds()
	if _, rest, ok := strings.Cut(string(status), "VmHWM:"); ok {
		var kb int
		if _, err := fmt.Sscan(rest, &kb); err != nil {
			return err
		}
		out.PeakMB = kb >> 10
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

func run(data, out string, labels, bulk int, packed bool, rng *rand.Rand) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	release := filepath.Join(out, fmt.Sprintf("dailymed-%d.zip", labels))
	plain := filepath.Join(out, fmt.Sprintf("openfda-%d.json", bulk))
	for path, make := range map[string]func(io.Writer) error{
		release: func(w io.Writer) error { return writeRelease(w, data, labels, rng) },
		plain:   func(w io.Writer) error { return writeBulk(w, data, int64(bulk)<<20, rng) },
	} {
		if err := once(path, make); err != nil {
			return err
		}
	}
	files := []string{release, plain}
	if packed {
		if err := once(plain+".zip", func(w io.Writer) error { return pack(w, plain) }); err != nil {
			return err
		}
		files = append(files, plain+".zip")
	}
	fmt.Printf("%-24s %7s %10s %9s %10s %12s %8s\n", "file", "MB", "documents", "seconds", "processor", "a second of", "peak MB")
	for _, path := range files {
		c := exec.Command(os.Args[0], "-read", path)
		c.Stderr = os.Stderr
		b, err := c.Output()
		if err != nil {
			return fmt.Errorf("reading %s: %w", path, err)
		}
		var f figures
		if err := json.Unmarshal(b, &f); err != nil {
			return err
		}
		if f.Problems > 0 {
			return fmt.Errorf("%s: %d problems", path, f.Problems)
		}
		fmt.Printf("%-24s %7.0f %10d %9.1f %10.1f %12.0f %8d\n", filepath.Base(path), float64(f.Bytes)/1e6, f.Documents, f.Seconds, f.Processor, float64(f.Documents)/f.Processor, f.PeakMB)
	}
	fmt.Printf("%s, %d processors\n", runtime.Version(), runtime.GOMAXPROCS(0))
	return nil
}

// once makes a file where it is not there yet.
func once(path string, write func(io.Writer) error) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	f, err := os.Create(path + ".new")
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	if err := write(w); err != nil {
		f.Close()
		return err
	}
	if err := w.Flush(); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

var ids = regexp.MustCompile(`<(setId|id) root="[^"]*"`)

func guid(rng *rand.Rand) string {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], rng.Uint64())
	binary.LittleEndian.PutUint64(b[8:], rng.Uint64())
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// writeRelease: a zip for each label in a zip, as DailyMed gives them out, each with two
// pictures.
func writeRelease(w io.Writer, data string, labels int, rng *rand.Rand) error {
	files, err := filepath.Glob(filepath.Join(data, "spl_xml", "*.xml"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no labels in %s", data)
	}
	var texts [][]byte
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		texts = append(texts, b)
	}
	z := zip.NewWriter(w)
	picture := make([]byte, 60<<10)
	for i := range labels {
		set := guid(rng)
		n := 0
		text := ids.ReplaceAllFunc(texts[i%len(texts)], func(m []byte) []byte {
			if n++; n > 2 {
				return m
			}
			if bytes.HasPrefix(m, []byte("<setId")) {
				return fmt.Appendf(nil, `<setId root="%s"`, set)
			}
			return fmt.Appendf(nil, `<id root="%s"`, guid(rng))
		})
		var b bytes.Buffer
		in := zip.NewWriter(&b)
		for _, name := range []string{guid(rng) + ".xml", "figure-01.jpg", "figure-02.jpg"} {
			h := &zip.FileHeader{Name: name, Method: zip.Deflate}
			if strings.HasSuffix(name, ".jpg") {
				h.Method = zip.Store
			}
			f, err := in.CreateHeader(h)
			if err != nil {
				return err
			}
			content := text
			if strings.HasSuffix(name, ".jpg") {
				for k := 0; k < len(picture); k += 8 {
					binary.LittleEndian.PutUint64(picture[k:], rng.Uint64())
				}
				copy(picture, "\xff\xd8\xff\xe0")
				content = picture
			}
			if _, err := f.Write(content); err != nil {
				return err
			}
		}
		if err := in.Close(); err != nil {
			return err
		}
		f, err := z.Create(fmt.Sprintf("prescription/2026%04d_%s.zip", i, set))
		if err != nil {
			return err
		}
		if _, err := f.Write(b.Bytes()); err != nil {
			return err
		}
	}
	return z.Close()
}

// writeBulk: the sections of the real labels as records of openFDA, again and again.
func writeBulk(w io.Writer, data string, size int64, rng *rand.Rand) error {
	var records []map[string]any
	for _, p := range []string{"labels/openfda_20drugs.jsonl", "labels/spl_adr_train.jsonl", "spl_xml"} {
		_, err := document.Read(context.Background(), filepath.Join(data, p), document.Options{}, func(d *document.Document) error {
			r := map[string]any{"version": "1", "effective_time": "20260131", "openfda": map[string]any{"generic_name": []string{d.Title}}}
			for _, s := range d.Sections {
				r[strings.ReplaceAll(strings.ToLower(s.Title), " ", "_")] = []string{s.Text}
			}
			records = append(records, r)
			return nil
		})
		if err != nil {
			return err
		}
	}
	if _, err := io.WriteString(w, "{\n  \"meta\": {\n    \"results\": {\n      \"skip\": 0\n    }\n  },\n  \"results\": [\n    "); err != nil {
		return err
	}
	for i, n := 0, int64(0); n < size; i++ {
		r := records[i%len(records)]
		r["set_id"], r["id"] = guid(rng), guid(rng)
		b, err := json.MarshalIndent(r, "    ", "  ")
		if err != nil {
			return err
		}
		if i > 0 {
			b = append([]byte(",\n    "), b...)
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
		n += int64(len(b))
	}
	_, err := io.WriteString(w, "\n  ]\n}\n")
	return err
}

func pack(w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	z := zip.NewWriter(w)
	in, err := z.Create(filepath.Base(path))
	if err != nil {
		return err
	}
	if _, err := io.Copy(in, f); err != nil {
		return err
	}
	return z.Close()
}
