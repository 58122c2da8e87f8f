package cache

import (
	"container/list"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"

	"rxedge/daemon/store"
)

// Records: kind and hash of the key → what is kept, sealed; 'd' document, a
// zero, id → nothing: the answer rests on the document; "salt" → 32 bytes.
const (
	byDocument = 'd'
	saltKey    = "salt"
	hashBytes  = 16
)

// sweepEvery so often what has expired is let go.
const sweepEvery = time.Minute

// sealed is how one key's record is named and read. Both come from the key
// itself: who does not know the question can neither find nor read its answer,
// so no question lies on disk.
type sealed struct {
	id   string
	aead cipher.AEAD
}

func (c *Cache) seal(kind byte, key string) sealed {
	mac := hmac.New(sha512.New, c.salt)
	mac.Write([]byte{kind})
	mac.Write([]byte(key))
	sum := mac.Sum(nil)
	block, err := aes.NewCipher(sum[hashBytes : hashBytes+32])
	if err != nil {
		panic(err) // the length is right
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return sealed{string(kind) + string(sum[:hashBytes]), aead}
}

// load opens the store and lists what is in it.
func (c *Cache) load(dir string) error {
	db, err := store.Open(dir, false, c.opt.Key)
	if err != nil {
		return err
	}
	c.db, c.held, c.once, c.often = db, map[string]*list.Element{}, shelf{order: list.New()}, shelf{order: list.New()}
	if err := c.survey(); err != nil {
		_ = db.Close()
		if errors.Is(err, store.ErrNoRoom) { // says nothing of the files
			return err
		}
		return &store.DamagedError{Dir: dir, Err: err}
	}
	return nil
}

func (c *Cache) survey() (err error) {
	defer guard(&err)
	c.salt = nil
	links := map[string][]string{} // documents by the answer that rests on them
	err = c.db.View(func(txn *badger.Txn) error {
		item, err := txn.Get([]byte(saltKey))
		if errors.Is(err, badger.ErrKeyNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if c.salt, err = item.ValueCopy(nil); err != nil {
			return err
		}
		if len(c.salt) != 32 {
			return errors.New("the salt is damaged")
		}
		it := txn.NewIterator(badger.IteratorOptions{})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			item := it.Item()
			if k := item.Key(); (k[0] == kindAnswer || k[0] == kindVector) && len(k) == 1+hashBytes {
				c.hold(&held{id: string(k), bytes: item.EstimatedSize(), expires: time.Unix(int64(item.ExpiresAt()), 0), often: item.UserMeta()&metaOften != 0})
			} else if doc, id, ok := link(k); ok {
				links[id] = append(links[id], doc)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	var orphans []string // of a cache that did not take them along
	for id, documents := range links {
		e := c.held[id]
		if e == nil {
			orphans = append(orphans, linkKeys(id, documents)...)
			continue
		}
		h := e.Value.(*held)
		c.shelf(h).bytes += linkBytes(id, documents)
		h.bytes += linkBytes(id, documents)
		h.documents = documents
	}
	if len(orphans) > 0 {
		c.erase(orphans)
	}
	if c.salt != nil {
		return nil
	}
	c.salt = make([]byte, 32)
	_, _ = rand.Read(c.salt) // never fails
	return c.db.Update(func(txn *badger.Txn) error { return txn.Set([]byte(saltKey), c.salt) })
}

// guard turns a panic of the store over damaged files into an error.
func guard(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("the store could not read it (%v)", p)
	}
}

// metaOften marks the record of an answer that was asked for more than once.
const metaOften = 1

// often has at most this part of the disk's bound, so that what is asked now
// finds room.
const oftenPart = 2

func (c *Cache) shelf(h *held) *shelf {
	if h.often {
		return &c.often
	}
	return &c.once
}

func (c *Cache) hold(h *held) {
	if e := c.held[h.id]; e != nil {
		c.unshelve(e)
	}
	s := c.shelf(h)
	c.held[h.id] = s.order.PushFront(h)
	s.bytes += h.bytes
}

func (c *Cache) unshelve(e *list.Element) {
	h := e.Value.(*held)
	s := c.shelf(h)
	s.bytes -= h.bytes
	s.order.Remove(e)
}

// oldest is what goes next for room: what was asked for once, unless the others
// have more than their part.
func (c *Cache) oldest() *list.Element {
	if e := c.once.order.Back(); e != nil && c.often.bytes <= c.opt.DiskBytes/oftenPart {
		return e
	}
	if e := c.often.order.Back(); e != nil {
		return e
	}
	return c.once.order.Back()
}

// drop takes an id out of the list and out of memory, and returns the keys that are its
// own on disk; none where it is not held. c.mu is held.
func (c *Cache) drop(id string) []string {
	e := c.held[id]
	if e == nil {
		return nil
	}
	c.unshelve(e)
	delete(c.held, id)
	if id[0] == kindAnswer {
		c.answers.Invalidate(id)
	} else {
		c.vectors.Invalidate(id)
	}
	return append(linkKeys(id, e.Value.(*held).documents), id)
}

// touch marks a record as used; false where it is gone or has expired.
func (c *Cache) touch(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.held[id]
	if c.closed || e == nil || !c.opt.Now().Before(e.Value.(*held).expires) {
		return false
	}
	c.shelf(e.Value.(*held)).order.MoveToFront(e)
	return true
}

// first says that a record was asked for once so far.
func (c *Cache) first(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.held[id]
	return e != nil && !e.Value.(*held).often
}

// read opens a record.
func (c *Cache) read(s sealed) (body []byte, ok bool) {
	c.mu.Lock()
	gone := c.closed || c.held[s.id] == nil
	c.mu.Unlock()
	if gone {
		return nil, false
	}
	var box []byte
	err := func() (err error) {
		defer guard(&err)
		return c.db.View(func(txn *badger.Txn) error {
			item, err := txn.Get([]byte(s.id))
			if err != nil {
				return err
			}
			box, err = item.ValueCopy(nil)
			return err
		})
	}()
	switch {
	case errors.Is(err, badger.ErrKeyNotFound) || errors.Is(err, badger.ErrDBClosed):
		return nil, false
	case err == nil && len(box) > s.aead.NonceSize():
		body, err = s.aead.Open(nil, box[:s.aead.NonceSize()], box[s.aead.NonceSize():], []byte(s.id))
		if err == nil {
			return body, true
		}
	}
	c.damaged(s.id)
	return nil, false
}

func (c *Cache) damaged(id string) {
	c.count(func(st *Stats) { st.Damaged++ })
	c.remove(id)
}

// write seals a record and makes room for it.
func (c *Cache) write(s sealed, body []byte, expires time.Time, documents []string) bool {
	nonce := make([]byte, s.aead.NonceSize(), s.aead.NonceSize()+len(body)+s.aead.Overhead())
	_, _ = rand.Read(nonce) // never fails
	box := s.aead.Seal(nonce, nonce, body, []byte(s.id))
	size := int64(len(s.id)+len(box)) + linkBytes(s.id, documents)
	if size > c.opt.DiskBytes/8 {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	var out []string
	often := s.id[0] == kindAnswer && c.held[s.id] != nil // it is asked for again
	for e := c.oldest(); e != nil && c.once.bytes+c.often.bytes+size > c.opt.DiskBytes; e = c.oldest() {
		out = append(out, c.drop(e.Value.(*held).id)...)
		c.stats.Evicted++
	}
	if e := c.held[s.id]; e != nil { // it takes its own place, maybe with other documents
		for _, d := range e.Value.(*held).documents {
			if !slices.Contains(documents, d) {
				out = append(out, restsOn(d)+s.id)
			}
		}
	}
	err := func() (err error) {
		defer guard(&err)
		if err := c.db.Room(); err != nil {
			return err
		}
		wb := c.db.NewWriteBatch()
		defer wb.Cancel()
		for _, id := range out {
			if err := wb.Delete([]byte(id)); err != nil {
				return err
			}
		}
		set := func(key string, value []byte) error {
			e := badger.NewEntry([]byte(key), value)
			if often {
				e = e.WithMeta(metaOften)
			}
			e.ExpiresAt = uint64(expires.Unix()) + 1 // Badger's seconds; ours end it
			return wb.SetEntry(e)
		}
		if err := set(s.id, box); err != nil {
			return err
		}
		for _, d := range documents {
			if err := set(restsOn(d)+s.id, nil); err != nil {
				return err
			}
		}
		return wb.Flush()
	}()
	if err != nil {
		c.opt.Log.Debug("the cache could not be written", "error", err)
		c.drop(s.id)
		return false
	}
	c.hold(&held{id: s.id, bytes: size, expires: expires, often: often, documents: documents})
	return true
}

func restsOn(document string) string { return string(byDocument) + document + "\x00" }

// link reads the key that says on which document an answer rests.
func link(k []byte) (document, id string, ok bool) {
	n := len(k) - 1 - hashBytes
	if n <= 1 || k[0] != byDocument || k[n-1] != 0 {
		return "", "", false
	}
	return string(k[1 : n-1]), string(k[n:]), true
}

// linkKeys of an answer.
func linkKeys(id string, documents []string) (keys []string) {
	for _, d := range documents {
		keys = append(keys, restsOn(d)+id)
	}
	return keys
}

func linkBytes(id string, documents []string) (n int64) {
	for _, d := range documents {
		n += int64(len(restsOn(d)) + len(id))
	}
	return n
}

func (c *Cache) remove(ids ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	var keys []string
	for _, id := range ids {
		keys = append(keys, c.drop(id)...)
	}
	c.erase(keys)
}

// erase takes keys off the disk; c.mu is held.
func (c *Cache) erase(keys []string) {
	err := func() (err error) {
		defer guard(&err)
		if err := c.db.Room(); err != nil {
			return err
		}
		wb := c.db.NewWriteBatch()
		defer wb.Cancel()
		for _, k := range keys {
			if err := wb.Delete([]byte(k)); err != nil {
				return err
			}
		}
		return wb.Flush()
	}()
	if err != nil {
		// They are out of the list and so are not served; at the next start they
		// are compared with the index like all others.
		c.opt.Log.Debug("the cache could not be cleared", "error", err)
	}
}

// Shrink lets go of records until those that stay have at most so many bytes, and of
// their room on disk.
func (c *Cache) Shrink(most int64) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	var out []string
	for e := c.oldest(); e != nil && c.once.bytes+c.often.bytes > most; e = c.oldest() {
		out = append(out, c.drop(e.Value.(*held).id)...)
		c.stats.Evicted++
	}
	c.erase(out)
	c.mu.Unlock()
	return c.Collect()
}

// Collect gives back what was replaced, let go of or has expired.
func (c *Cache) Collect() (err error) {
	defer guard(&err)
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	if closed {
		return nil
	}
	return c.db.Collect()
}

// Documents that answers rest on.
func (c *Cache) Documents() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	if c.closed {
		return nil
	}
	c.eachLink(string(byDocument), func(doc, id string) {
		if c.held[id] != nil && (len(out) == 0 || out[len(out)-1] != doc) {
			out = append(out, doc)
		}
	})
	return out
}

// Invalidate lets go of the answers that rest on any of the documents, and says
// how many there were.
func (c *Cache) Invalidate(documents []string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0
	}
	n := 0
	var keys []string
	for _, d := range documents {
		c.eachLink(restsOn(d), func(doc, id string) {
			keys = append(keys, restsOn(doc)+id)
			if own := c.drop(id); own != nil {
				n++
				keys = append(keys, own...)
			}
		})
	}
	c.erase(keys)
	c.stats.Invalidated += n
	return n
}

func (c *Cache) eachLink(prefix string, see func(doc, id string)) {
	err := func() (err error) {
		defer guard(&err)
		return c.db.View(func(txn *badger.Txn) error {
			it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte(prefix)})
			defer it.Close()
			for it.Rewind(); it.Valid(); it.Next() {
				if doc, id, ok := link(it.Item().Key()); ok {
					see(doc, id)
				}
			}
			return nil
		})
	}()
	if err != nil {
		c.opt.Log.Debug("the cache could not be read", "error", err)
	}
}

// sweep lets go of what has expired, until Close.
func (c *Cache) sweep() {
	defer close(c.ended)
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-c.done:
			return
		case <-tick.C:
		}
		c.expire()
	}
}

// expire lets go of what has.
func (c *Cache) expire() {
	var out []string
	c.mu.Lock()
	now := c.opt.Now()
	for id, e := range c.held {
		// What expires later than anything that is made now was made by a clock that
		// was ahead.
		if x := e.Value.(*held).expires; !now.Before(x) || x.After(now.Add(max(c.opt.Earlier, c.opt.Embeddings)+slack)) {
			out = append(out, id)
		}
	}
	var keys []string
	for _, id := range out {
		keys = append(keys, c.drop(id)...)
	}
	c.erase(keys)
	c.mu.Unlock()
}

func encode(v []float32) []byte {
	b := make([]byte, 0, 4*len(v))
	for _, f := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
	}
	return b
}

func decode(b []byte) ([]float32, bool) {
	if len(b) == 0 || len(b)%4 != 0 {
		return nil, false
	}
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v, true
}
