// Package filestore is a [sessions.Store] in a folder: one file a session, in
// subfolders by the first byte of the id. It is where an application's passivated
// sessions go.
//
// A file is written under a temporary name and renamed, so a reader sees the old
// session or the new one, never a part. It is not synced: what a stopped machine
// has not written is a session lost, as one in memory would be. Each file has a
// checksum; one that does not match is an error that is [sessions.ErrDamaged].
//
// The folder belongs to one application and one process. File names are made of
// well-formed ids only, and the folder is opened as an [os.Root], so no id leads
// out of it.
package filestore

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"

	"github.com/serval-server/serval/sessions"
)

const (
	magic   = "serval session\n\x01" // the last byte is the version of the format
	suffix  = ".session"
	temp    = ".tmp-"
	maxFile = 256 << 20
	locks   = 64
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Store is a folder of session files. It is safe for concurrent use.
type Store struct {
	root *os.Root
	// mu serialises what happens to one id, so that a Delete is not undone
	// by a Save that came before it.
	mu [locks]sync.RWMutex
}

var _ sessions.Store = (*Store)(nil)

// Open opens the folder, and makes it (mode 0700) if it does not exist. What a
// stopped process has left half-written is removed.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening the session store: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the session store: %w", err)
	}
	s := &Store{root: root}
	if err := s.clean(); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the session store %s: %w", dir, err), root.Close())
	}
	return s, nil
}

// Close releases the folder.
func (s *Store) Close() error { return s.root.Close() }

// place is where a session's file is, and the lock of its id.
func (s *Store) place(id sessions.ID) (dir, file string, mu *sync.RWMutex, err error) {
	if !id.Valid() {
		return "", "", nil, fmt.Errorf("session id %.40q: not one of this server's", id)
	}
	// base64url distinguishes case, which some file systems do not.
	name := hex.EncodeToString([]byte(id.Real()))
	sum := crc32.Checksum([]byte(id.Real()), castagnoli)
	dir = fmt.Sprintf("%02x", byte(sum))
	return dir, path.Join(dir, name+suffix), &s.mu[sum%locks], nil
}

// Load implements [sessions.Store].
func (s *Store) Load(_ context.Context, id sessions.ID) (*sessions.Snapshot, error) {
	_, file, mu, err := s.place(id)
	if err != nil {
		return nil, errors.Join(sessions.ErrNotFound, err)
	}
	mu.RLock()
	defer mu.RUnlock()
	snap, err := s.read(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, sessions.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("loading session file %s: %w", file, err)
	}
	if snap.ID != id.Real() {
		return nil, fmt.Errorf("loading session file %s: %w: it holds another session", file, sessions.ErrDamaged)
	}
	return snap, nil
}

func (s *Store) read(file string) (*sessions.Snapshot, error) {
	f, err := s.root.Open(file)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	return decode(b)
}

// encode is the content of a file: magic, what [sessions.AppendSnapshot] makes, a
// CRC-32C of both.
func encode(snap *sessions.Snapshot) ([]byte, error) {
	b, err := sessions.AppendSnapshot([]byte(magic), snap)
	if err != nil {
		return nil, err
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli)), nil
}

func decode(b []byte) (*sessions.Snapshot, error) {
	if len(b) > maxFile {
		return nil, fmt.Errorf("%w: more than %d bytes", sessions.ErrDamaged, maxFile)
	}
	body, ok := bytes.CutPrefix(b, []byte(magic))
	if !ok || len(body) < 4 {
		return nil, fmt.Errorf("%w: not a session file of this version", sessions.ErrDamaged)
	}
	at := len(b) - 4
	if crc32.Checksum(b[:at], castagnoli) != binary.LittleEndian.Uint32(b[at:]) {
		return nil, fmt.Errorf("%w: wrong checksum", sessions.ErrDamaged)
	}
	return sessions.ParseSnapshot(body[:len(body)-4])
}

// Save implements [sessions.Store].
func (s *Store) Save(_ context.Context, snap *sessions.Snapshot) error {
	dir, file, mu, err := s.place(snap.ID)
	if err != nil {
		return err
	}
	b, err := encode(snap)
	if err != nil {
		return fmt.Errorf("saving a session: %w", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if err := s.root.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("saving a session: %w", err)
	}
	tmp := file + temp + rand.Text()
	err = s.root.WriteFile(tmp, b, 0o600)
	if err == nil {
		err = s.root.Rename(tmp, file)
	}
	if err != nil {
		return fmt.Errorf("saving a session: %w", errors.Join(err, s.remove(tmp)))
	}
	return nil
}

func (s *Store) remove(file string) error {
	if err := s.root.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Delete implements [sessions.Store].
func (s *Store) Delete(_ context.Context, id sessions.ID) error {
	_, file, mu, err := s.place(id)
	if err != nil {
		return nil // there is none
	}
	mu.Lock()
	defer mu.Unlock()
	if err := s.remove(file); err != nil {
		return fmt.Errorf("deleting a stored session: %w", err)
	}
	return nil
}

// Walk implements [sessions.Store].
func (s *Store) Walk(ctx context.Context, f func(*sessions.Snapshot) bool) error {
	stop := errors.New("stop")
	err := fs.WalkDir(s.root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // deleted meanwhile
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case d.IsDir() || !strings.HasSuffix(name, suffix):
			return nil
		}
		snap, err := s.read(name)
		if err != nil {
			return nil // the Store's contract: what cannot be read is left out
		}
		if _, file, _, err := s.place(snap.ID); err != nil || file != name {
			return nil
		}
		snap.Attributes = nil
		if !f(snap) {
			return stop
		}
		return nil
	})
	if err != nil && !errors.Is(err, stop) {
		return fmt.Errorf("listing stored sessions: %w", err)
	}
	return nil
}

// clean removes temporary files.
func (s *Store) clean() error {
	return fs.WalkDir(s.root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.Contains(path.Base(name), temp) {
			return err
		}
		return s.root.Remove(name)
	})
}
