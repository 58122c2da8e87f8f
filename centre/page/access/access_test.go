package access

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alexedwards/argon2id"
)

// long hashing is not what most of these are about.
func TestMain(m *testing.M) {
	asked := *params
	params.Memory, params.Iterations = 8, 1
	defaultParams = asked
	os.Exit(m.Run())
}

var defaultParams argon2id.Params

const word = "correct horse battery"

// The parameters are those of RFC 9106, section 4, second recommended option.
func TestParameters(t *testing.T) {
	t.Parallel()
	if p := defaultParams; p.Memory != 1<<16 || p.Iterations != 3 || p.Parallelism != 4 || p.SaltLength != 16 || p.KeyLength != 32 {
		t.Errorf("%+v", p)
	}
}

func TestAccounts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, other := Open(dir), Open(dir) // of another process
	if all, err := a.List(); err != nil || len(all) != 0 {
		t.Fatal(all, err)
	}
	if err := a.AddFirst("anna", word); err != nil {
		t.Fatal(err)
	}
	if err := other.AddFirst("bob", word); !errors.Is(err, ErrAccount) {
		t.Errorf("a second first: %v", err)
	}
	if err := other.Add("bob", word, Viewer); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(filepath.Join(dir, Dir, "accounts.json")); err != nil || st.Mode().Perm() != 0o600 {
		t.Error(st, err)
	}
	b, _ := os.ReadFile(filepath.Join(dir, Dir, "accounts.json"))
	if strings.Contains(string(b), "horse") || !strings.Contains(string(b), "$argon2id$v=19$") {
		t.Errorf("%s", b)
	}
	for _, c := range []struct {
		name, password string
		ok             bool
	}{{"bob", word, true}, {"bob", word + " ", false}, {"bob", "", false}, {"eve", word, false}, {"", "", false}} {
		acc, ok, err := a.Check(c.name, c.password)
		if err != nil || ok != c.ok || ok && acc.Role != Viewer || !ok && acc != (Account{}) {
			t.Errorf("%q: %v %v %v", c.name, acc, ok, err)
		}
	}
	if err := a.Remove("anna"); !errors.Is(err, ErrLastAdmin) {
		t.Error(err)
	}
	if err := a.SetRole("anna", Viewer); !errors.Is(err, ErrLastAdmin) {
		t.Error(err)
	}
	if err := a.Remove("eve"); !errors.Is(err, ErrNoAccount) {
		t.Error(err)
	}
	var invalid *InvalidError
	for name, password := range map[string]string{"Bob": word, "a b": word, "": word, strings.Repeat("x", 65): word, "carl": "too short", "dora": strings.Repeat("ab", 20), "emilia-emilia": "emilia-emilia12", "fritz": "with a\nnew line in it"} {
		if err := a.Add(name, password, Viewer); !errors.As(err, &invalid) {
			t.Errorf("%q, %q: %v", name, password, err)
		}
	}
	if err := a.Add("gina", word, "root"); !errors.As(err, &invalid) {
		t.Error(err)
	}
	// Composed and decomposed letters are the same password.
	if err := a.Add("jose", "contrase\u00f1a muy larga", Viewer); err != nil {
		t.Fatal(err)
	}
	if _, ok, _ := a.Check("jose", "contrasen\u0303a muy larga"); !ok {
		t.Error("the same password in another form is refused")
	}
	if err := os.Chmod(a.path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir).List(); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Error(err)
	}
}

// Two processes that add at the same time lose nothing.
func TestAccountsTogether(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var wg sync.WaitGroup
	for _, n := range []string{"a", "b", "c", "d", "e", "f"} {
		wg.Go(func() {
			if err := Open(dir).Add(n, word, Viewer); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if all, err := Open(dir).List(); err != nil || len(all) != 6 {
		t.Error(len(all), err)
	}
}

func TestSessions(t *testing.T) {
	t.Parallel()
	a := Open(t.TempDir())
	if err := errors.Join(a.AddFirst("anna", word), a.Add("bob", word, Reviewer)); err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 30, 8, 0, 0, 0, time.UTC)
	s := NewSessions(a)
	s.now = func() time.Time { return now }
	begin := func(name string) string {
		acc, err := a.Get(name)
		if err != nil {
			t.Fatal(err)
		}
		return s.Begin(Person{Name: name, Role: acc.Role, Local: true}, &acc)
	}
	who := func(token string, byPerson bool) Role {
		p, _ := s.Who(token, byPerson)
		return p.Role
	}
	bob := begin("bob")
	for k := range s.by {
		if strings.Contains(string(k[:]), bob) {
			t.Error("the token itself is kept")
		}
	}
	now = now.Add(idleLife - time.Second)
	if who(bob, false) != Reviewer {
		t.Error("it ended too early")
	}
	now = now.Add(2 * time.Second)
	if who(bob, true) != "" {
		t.Error("what no person did kept it alive")
	}
	bob = begin("bob")
	for range 23 {
		now = now.Add(idleLife - time.Minute)
		who(bob, true)
	}
	if now = now.Add(idleLife); who(bob, true) != "" {
		t.Error("it goes on for ever")
	}
	bob, second := begin("bob"), begin("bob")
	s.End(second)
	if who(second, true) != "" || who(bob, true) != Reviewer {
		t.Error("another session was ended")
	}
	if err := a.SetRole("bob", Viewer); err != nil {
		t.Fatal(err)
	}
	if who(bob, true) != "" {
		t.Error("it has outlived a change of the role")
	}
	bob = begin("bob")
	if err := a.SetPassword("bob", word+"!"); err != nil {
		t.Fatal(err)
	}
	if who(bob, true) != "" {
		t.Error("it has outlived a change of the password")
	}
	bob = begin("bob")
	if err := errors.Join(a.Remove("bob"), a.Add("bob", word, Admin)); err != nil {
		t.Fatal(err)
	}
	if who(bob, true) != "" {
		t.Error("it is of another account of the same name now")
	}
	if who("", true) != "" || who(strings.Repeat("x", 43), true) != "" {
		t.Error("no token is somebody's")
	}
}

func TestTries(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 30, 8, 0, 0, 0, time.UTC)
	x := NewTries()
	x.now = func() time.Time { return now }
	for i := range freeTries {
		if w := x.Wait(Keys("anna", "10.0.0.1")...); w > 0 {
			t.Fatalf("it waits %v after %d", w, i)
		}
		x.Failed(Keys("anna", "10.0.0.1")...)
	}
	last := time.Duration(0)
	for range 12 {
		w := x.Wait(Keys("anna", "10.0.0.2")...) // from elsewhere too
		if w <= last && w != longestWait || w > longestWait {
			t.Errorf("%v after %v", w, last)
		}
		last = w
		now = now.Add(w)
		x.Failed(Keys("anna", "10.0.0.2")...)
	}
	if w := x.Wait(Keys("bob", "10.0.0.1")...); w > 0 {
		t.Errorf("another name at the first address waits %v", w)
	}
	x.Succeeded(Keys("anna", "")[0])
	if w := x.Wait("name anna"); w > 0 {
		t.Errorf("it waits %v after it has succeeded", w)
	}
	for i := range freeAddress + 1 {
		x.Failed(addressKey+"10.0.0.9", "name n"+string(rune('a'+i)))
	}
	if x.Wait(addressKey+"10.0.0.9") <= 0 {
		t.Error("an address tries names without end")
	}
}

func TestMay(t *testing.T) {
	t.Parallel()
	for i, r := range Roles() {
		for j, n := range Roles() {
			if r.May(n) != (i >= j) {
				t.Errorf("%s may what needs %s: %v", r, n, r.May(n))
			}
		}
		if r.May("") || Role("").May(r) || Role("root").May(r) {
			t.Errorf("no role, or none that there is, is one")
		}
	}
}

func FuzzAccounts(f *testing.F) {
	for _, s := range []string{"", "{}", `{"format":1}`, `{"format":1,"accounts":[{"name":"a","role":"admin","hash":"$argon2id$v=19$m=65536,t=3,p=4$AAAA$AAAA"}]}`, `{"format":1,"accounts":[{"name":"a","role":"admin","hash":"$argon2id$v=19$m=4294967295,t=4294967295,p=255$AAAA$AAAA"}]}`, `{"format":2}`, `{"format":1}{}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := parse(b)
		for _, x := range all {
			if err == nil && (x.Name == "" || ranks[x.Role] == 0) {
				t.Errorf("%+v", x)
			}
		}
	})
}
