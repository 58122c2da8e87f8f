package access

import (
	"sync"

	"github.com/alexedwards/argon2id"
	"golang.org/x/text/unicode/norm"
)

// params are the second recommended option of RFC 9106 (section 4): Argon2id with 64 MiB,
// 3 passes, 4 lanes, a salt of 128 bits and a tag of 256. It is above what OWASP asks for
// at least (19 MiB, 2 passes).
var params = &argon2id.Params{Memory: 64 << 10, Iterations: 3, Parallelism: 4, SaltLength: 16, KeyLength: 32}

// hashing is how many passwords are hashed at the same time: each takes 64 MiB.
var hashing = make(chan struct{}, 2)

func hashed(password string) (string, error) {
	hashing <- struct{}{}
	defer func() { <-hashing }()
	return argon2id.CreateHash(norm.NFKC.String(password), params)
}

// nobody's hash: a name that there is not takes as long to be refused as a wrong
// password.
var nobody = sync.OnceValue(func() string {
	h, err := hashed("nobody has this password: it is here to take as long")
	if err != nil {
		panic(err) // no randomness to be had
	}
	return h
})

func matches(password, hash string) bool {
	hashing <- struct{}{}
	defer func() { <-hashing }()
	ok, err := argon2id.ComparePasswordAndHash(norm.NFKC.String(password), hash)
	return ok && err == nil
}

// Check a name and a password. What is not right takes as long as what is; and why it
// was not, nobody is told.
func (a *Accounts) Check(name, password string) (acc Account, ok bool, err error) {
	all, err := a.List()
	if err != nil {
		return acc, false, err
	}
	hash, i := nobody(), find(all, name)
	if i >= 0 {
		hash, acc = all[i].Hash, all[i]
	}
	if len(password) > 4*mostPassword {
		password = password[:4*mostPassword]
	}
	if !matches(password, hash) || i < 0 {
		return Account{}, false, nil
	}
	return acc, true, nil
}
