package llama

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

func TestEventReader(t *testing.T) {
	t.Parallel()
	type event struct {
		Content string `json:"content"`
	}
	long := strings.Repeat("ß", 300_000)
	for name, test := range map[string]struct {
		stream string
		want   []string
		end    error
	}{
		"events":        {"data: {\"content\":\"a\"}\n\ndata: {\"content\":\"b\"}\n\n", []string{"a", "b"}, io.ErrUnexpectedEOF},
		"carriage":      {"data:{\"content\":\"a\"}\r\n\r\n", []string{"a"}, io.ErrUnexpectedEOF},
		"comments":      {":\n\n: ping\n\nevent: x\ndata: {\"content\":\"a\"}\n\n", []string{"a"}, io.ErrUnexpectedEOF},
		"two lines":     {"data: {\"content\":\ndata: \"a\"}\n\n", []string{"a"}, io.ErrUnexpectedEOF},
		"a long line":   {"data: {\"content\":\"" + long + "\"}\n\n", []string{long}, io.ErrUnexpectedEOF},
		"cut off":       {"data: {\"content\":\"a\"}\n\ndata: {\"conte", []string{"a"}, io.ErrUnexpectedEOF},
		"cut at a line": {"data: {\"content\":\"a\"}\n", nil, io.ErrUnexpectedEOF},
		"not JSON":      {"data: <html>\n\n", nil, errEvent},
		"endless line":  {strings.Repeat("x", longestEvent+1), nil, errEvent},
		"endless event": {strings.Repeat("data: "+strings.Repeat("x", 1<<20)+"\n", 17), nil, errEvent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			readers := []io.Reader{strings.NewReader(test.stream)}
			if len(test.stream) < 1<<20 {
				readers = append(readers, iotest.OneByteReader(strings.NewReader(test.stream)))
			}
			for _, r := range readers {
				er := newEventReader(r)
				var got []string
				var ev event
				var err error
				for {
					ev = event{}
					if err = er.next(&ev); err != nil {
						break
					}
					got = append(got, ev.Content)
				}
				if strings.Join(got, "|") != strings.Join(test.want, "|") || !errors.Is(err, test.end) {
					t.Errorf("got %.80q and %v", got, err)
				}
			}
		})
	}
}

func TestStopper(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		words   []string
		pieces  []string
		want    string
		stopped bool
	}{
		{nil, []string{"a", "b"}, "ab", false},
		{[]string{""}, []string{"a", "b"}, "ab", false},
		{[]string{"\n\n"}, []string{"a\n", "b\n", "\nc"}, "a\nb", true},
		{[]string{"END", "ENDS"}, []string{"xEN", "DS"}, "x", true},
		{[]string{"bcd", "abc"}, []string{"a", "b", "c", "d"}, "", true},
		{[]string{"</s>"}, []string{"a <", "/", "b"}, "a </b", false},
		{[]string{"</s>"}, []string{"a <", "/"}, "a </", false}, // the limit came
		{[]string{"aab"}, []string{"a", "a", "a", "b"}, "a", true},
		{[]string{"≥"}, []string{"\xe2", "\x89", "\xa5 2"}, "", true},
		{nil, []string{"\xe2", "\x89", "\xa5 2"}, "≥ 2", false},
		{nil, []string{"a\xe2\x89"}, "a", false},
	} {
		s := stopper{words: test.words}
		var got strings.Builder
		stopped := false
		for _, p := range test.pieces {
			var out string
			if out, stopped = s.push(p); out != "" {
				if !utf8.ValidString(out) {
					t.Errorf("%q: piece %q", test.pieces, out)
				}
				got.WriteString(out)
			}
			if stopped {
				break
			}
		}
		if !stopped {
			got.WriteString(s.rest())
		}
		if got.String() != test.want || stopped != test.stopped {
			t.Errorf("%q until %q: %q (%v), want %q (%v)", test.pieces, test.words, got.String(), stopped, test.want, test.stopped)
		}
	}
}

// However a text is cut into pieces, it ends at the same place.
func FuzzStopper(f *testing.F) {
	f.Add("one two. three", "o. ", uint8(3))
	f.Add("aaab", "aab", uint8(1))
	f.Add("≥ 2 mg", "mg", uint8(2))
	f.Fuzz(func(t *testing.T, text, word string, size uint8) {
		if !utf8.ValidString(text) || !utf8.ValidString(word) || word == "" {
			t.Skip()
		}
		want, _, found := strings.Cut(text, word)
		s := stopper{words: []string{word}}
		var got strings.Builder
		stopped := false
		for rest := text; rest != "" && !stopped; {
			n := min(int(size)+1, len(rest))
			var out string
			out, stopped = s.push(rest[:n])
			if !utf8.ValidString(out) {
				t.Fatalf("piece %q", out)
			}
			got.WriteString(out)
			rest = rest[n:]
		}
		if !stopped {
			got.WriteString(s.rest())
		}
		if got.String() != want || stopped != found {
			t.Fatalf("%q until %q in pieces of %d: %q (%v), want %q (%v)", text, word, size+1, got.String(), stopped, want, found)
		}
	})
}

func FuzzEventReader(f *testing.F) {
	f.Add("data: {\"content\":\"a\"}\n\n")
	f.Add(":\n\ndata: 1\r\n\r\nerror: x\n\n")
	f.Fuzz(func(t *testing.T, stream string) {
		r := newEventReader(strings.NewReader(stream))
		for range len(stream) + 1 {
			var v any
			if err := r.next(&v); err != nil {
				return
			}
		}
		t.Fatal("more events than bytes")
	})
}
