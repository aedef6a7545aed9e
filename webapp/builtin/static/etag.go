package static

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"sync"
	"time"
)

// tag makes the entity tag of a file: W/"length-mtime", the time in
// milliseconds, as Tomcat does, or the SHA-256 of the content.
func (s *Servlet) tag(f fs.File, name string, info fs.FileInfo) (etag, error) {
	if s.Config.UseStrongETags {
		sum, err := s.hashes.sum(s.FS, f, name, info)
		return etag(`"` + sum + `"`), err
	}
	var ms int64
	if !info.ModTime().IsZero() {
		ms = info.ModTime().UnixMilli()
	}
	return etag(`W/"` + strconv.FormatInt(info.Size(), 10) + "-" + strconv.FormatInt(ms, 10) + `"`), nil
}

// maxHashes bounds the hashCache; over it, any entry is dropped for a new one.
const maxHashes = 4096

// hashCache keeps the hash of each file's content while its size and time stay.
type hashCache struct {
	mu   sync.Mutex
	sums map[string]hashEntry // guarded by mu
}

type hashEntry struct {
	size     int64
	modified time.Time
	sum      string
}

func (c *hashCache) sum(fsys fs.FS, f fs.File, name string, info fs.FileInfo) (string, error) {
	c.mu.Lock()
	e, ok := c.sums[name]
	c.mu.Unlock()
	if ok && e.size == info.Size() && e.modified.Equal(info.ModTime()) {
		return e.sum, nil
	}
	src, rewind := io.Reader(f), io.Seeker(nil)
	if s, ok := f.(io.Seeker); ok {
		rewind = s
	} else { // an archive: f must stay unread
		again, err := fsys.Open(name)
		if err != nil {
			return "", err
		}
		defer func() { _ = again.Close() }()
		src = again
	}
	h := sha256.New()
	if _, err := io.Copy(h, src); err != nil {
		return "", fmt.Errorf("hashing: %w", err)
	}
	if rewind != nil {
		if _, err := rewind.Seek(0, io.SeekStart); err != nil {
			return "", err
		}
	}
	sum := hex.EncodeToString(h.Sum(nil))
	c.put(name, hashEntry{info.Size(), info.ModTime(), sum})
	return sum, nil
}

func (c *hashCache) put(name string, e hashEntry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sums == nil {
		c.sums = make(map[string]hashEntry)
	}
	if _, ok := c.sums[name]; !ok && len(c.sums) >= maxHashes {
		for old := range c.sums {
			delete(c.sums, old)
			break
		}
	}
	c.sums[name] = e
}

// newBoundary makes a boundary that is in no file but by a chance of 2^-110. It
// is as long as Tomcat's, and so are the answers.
func newBoundary() string { return rand.Text()[:22] }
