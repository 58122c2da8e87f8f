package central

import (
	"path/filepath"
	"testing"
)

// A root file and a key that people carry are read or refused, and none is put to
// use.
func FuzzRoot(f *testing.F) {
	c, err := Init(filepath.Join(f.TempDir(), "c"), InitOptions{Name: "t", Hubs: []string{"127.0.0.1:1"}})
	if err != nil {
		f.Fatal(err)
	}
	root, err := c.NextRoot(RootChange{})
	if err != nil {
		f.Fatal(err)
	}
	private, _, err := MakeRootKey()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(root, private)
	f.Add([]byte(`{"signed":{"_type":"root","version":2,"roles":{}},"signatures":[]}`), []byte("-----BEGIN PRIVATE KEY-----\nMA==\n-----END PRIVATE KEY-----\n"))
	f.Add([]byte(`{"signed":{"_type":"root"}}`), private)
	f.Fuzz(func(t *testing.T, root, key []byte) {
		_, _ = ReadRoot(root)
		_, _ = SignRoot(root, key)
		if _, err := c.PublishRoot(root); err == nil {
			t.Fatal("it was put to use")
		}
	})
}
