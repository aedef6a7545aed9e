package sessions

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"time"
)

// The session file, version 1. Numbers of fixed size are little-endian, checksums
// are CRC-32C.
//
//	"serval sessions\n" version:1 byte  application:uvarint length, bytes  checksum:4
//	per session: length:4 (not 0)  what AppendSnapshot encodes  checksum:4
//	end: length:4 (0)  number of sessions:8  checksum of these 12 bytes:4
//
// A file without its end was cut off.
const (
	fileMagic   = "serval sessions\n"
	fileVersion = 1
	// maxRecord bounds one session in a file.
	maxRecord = 256 << 20
	// maxAppKey bounds the application's name; its length takes two bytes.
	maxAppKey = 4 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// fileWriter writes a session file.
type fileWriter struct {
	w   *bufio.Writer
	buf []byte
	n   uint64
}

func newFileWriter(w io.Writer, app AppKey) (*fileWriter, error) {
	f := &fileWriter{w: bufio.NewWriterSize(w, 64<<10)}
	head := append([]byte(fileMagic), fileVersion)
	head = binary.AppendUvarint(head, uint64(len(app)))
	head = append(head, app...)
	_, err := f.w.Write(binary.LittleEndian.AppendUint32(head, crc32.Checksum(head, castagnoli)))
	return f, err
}

func (f *fileWriter) add(s *Snapshot) error {
	b, err := AppendSnapshot(append(f.buf[:0], 0, 0, 0, 0), s)
	if err != nil {
		return err
	}
	f.buf = b
	n := len(b) - 4
	if n > maxRecord {
		return fmt.Errorf("session of %d bytes: a session file holds sessions of up to %d", n, maxRecord)
	}
	binary.LittleEndian.PutUint32(b, uint32(n))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[4:], castagnoli))
	f.n++
	_, err = f.w.Write(b)
	return err
}

func (f *fileWriter) close() error {
	end := binary.LittleEndian.AppendUint64(make([]byte, 4, 16), f.n)
	end = binary.LittleEndian.AppendUint32(end, crc32.Checksum(end, castagnoli))
	if _, err := f.w.Write(end); err != nil {
		return err
	}
	return f.w.Flush()
}

// readFile calls f with each session of a file, one at a time. An error that is
// ErrDamaged says that the file is not what was written; the sessions before the
// damage have been reported then, as their own checksums hold.
func readFile(r io.Reader, app AppKey, f func(*Snapshot) error) error {
	br := bufio.NewReaderSize(r, 64<<10)
	if err := readFileHead(br, app); err != nil {
		return err
	}
	var buf bytes.Buffer
	for n := uint64(0); ; n++ {
		var word [4]byte
		if _, err := io.ReadFull(br, word[:]); err != nil {
			return damaged(err, "session %d: no length", n+1)
		}
		size := binary.LittleEndian.Uint32(word[:])
		if size == 0 {
			return readFileEnd(br, n)
		}
		if size > maxRecord {
			return fmt.Errorf("%w: session %d: %d bytes", ErrDamaged, n+1, size)
		}
		buf.Reset()
		// CopyN grows the buffer as bytes come, not as the length says.
		if _, err := io.CopyN(&buf, br, int64(size)+4); err != nil {
			return damaged(err, "session %d: cut off", n+1)
		}
		b := buf.Bytes()
		if crc32.Checksum(b[:size], castagnoli) != binary.LittleEndian.Uint32(b[size:]) {
			return fmt.Errorf("%w: session %d: wrong checksum", ErrDamaged, n+1)
		}
		s, err := ParseSnapshot(b[:size])
		if err != nil {
			return fmt.Errorf("session %d: %w", n+1, err)
		}
		if err := f(s); err != nil {
			return err
		}
	}
}

func readFileHead(br *bufio.Reader, app AppKey) error {
	head := make([]byte, len(fileMagic)+1)
	if _, err := io.ReadFull(br, head); err != nil {
		return damaged(err, "no header")
	}
	if string(head[:len(fileMagic)]) != fileMagic {
		return fmt.Errorf("%w: not a session file", ErrDamaged)
	}
	if v := head[len(fileMagic)]; v != fileVersion {
		return fmt.Errorf("%w: format version %d, this server reads %d", ErrDamaged, v, fileVersion)
	}
	word, err := br.Peek(2)
	n, size := binary.Uvarint(word)
	if size <= 0 || n > maxAppKey {
		return damaged(err, "header")
	}
	_, _ = br.Discard(size) // it was peeked at
	head = append(head, word[:size]...)
	rest := make([]byte, n+4)
	if _, err := io.ReadFull(br, rest); err != nil {
		return damaged(err, "header cut off")
	}
	head = append(head, rest[:n]...)
	if crc32.Checksum(head, castagnoli) != binary.LittleEndian.Uint32(rest[n:]) {
		return fmt.Errorf("%w: header has a wrong checksum", ErrDamaged)
	}
	if got := AppKey(rest[:n]); got != app {
		return fmt.Errorf("%w: sessions of %q, expected those of %q", ErrDamaged, got, app)
	}
	return nil
}

func readFileEnd(br *bufio.Reader, n uint64) error {
	var end [16]byte
	if _, err := io.ReadFull(br, end[4:]); err != nil {
		return damaged(err, "end cut off")
	}
	if crc32.Checksum(end[:12], castagnoli) != binary.LittleEndian.Uint32(end[12:]) {
		return fmt.Errorf("%w: end has a wrong checksum", ErrDamaged)
	}
	if want := binary.LittleEndian.Uint64(end[4:]); want != n {
		return fmt.Errorf("%w: %d sessions, expected %d", ErrDamaged, n, want)
	}
	if _, err := br.ReadByte(); err != io.EOF {
		return damaged(err, "bytes after the end")
	}
	return nil
}

// damaged makes ErrDamaged of an early end, and keeps what the disk says.
func damaged(err error, format string, args ...any) error {
	what := fmt.Sprintf(format, args...)
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: %s", ErrDamaged, what)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// LoadReport says what Load has found.
type LoadReport struct {
	Sessions int    // loaded from the file
	Stored   int    // found in the store
	SetAside string // the file's new name if it was damaged, else ""
	Damage   error  // what was wrong with it
}

// Load reads the sessions that Close has saved to Options.File and makes those of
// Options.Store known. Call it before Start and before requests come. Times that
// a session spent in the file count as idle, so what has expired meanwhile ends
// at the first look. The file is removed: were it read twice, sessions that have
// ended in between would live again. A damaged file is renamed (".corrupt-" and
// the time), what was read before the damage is kept, and neither is an error. A
// store that cannot be opened is one.
func (m *Manager) Load(ctx context.Context) (rep LoadReport, err error) {
	o := *m.options()
	if err := m.openStore(&o); err != nil {
		return rep, err
	}
	m.opts.Store(&o)
	rep, err = m.load(ctx, &o)
	if err != nil {
		err = errors.Join(err, m.closeStore())
	}
	return rep, err
}

func (m *Manager) load(ctx context.Context, o *Options) (rep LoadReport, err error) {
	if o.File != "" {
		rep, err = m.loadFile(ctx, o)
		if err != nil {
			return rep, err
		}
	}
	rep.Stored, err = m.loadStore(ctx)
	if err != nil {
		return rep, fmt.Errorf("listing stored sessions: %w", err)
	}
	if o.wants(SessionDidActivate) && rep.Sessions > 0 {
		err = m.each(ctx, func(s *Session) error {
			m.notify(ctx, Event{Kind: SessionDidActivate, Session: s, Cause: Activation})
			return nil
		})
	}
	return rep, err
}

func (m *Manager) loadFile(ctx context.Context, o *Options) (rep LoadReport, err error) {
	f, err := os.Open(o.File)
	if errors.Is(err, os.ErrNotExist) {
		return rep, nil
	}
	if err != nil {
		return rep, fmt.Errorf("loading sessions: %w", err)
	}
	err = readFile(f, o.App, func(s *Snapshot) error {
		if m.loadOne(s) {
			rep.Sessions++
		}
		return ctx.Err()
	})
	_ = f.Close() // it was only read
	m.grown()
	switch {
	case err == nil:
		err = os.Remove(o.File)
	case errors.Is(err, ErrDamaged):
		rep.Damage = fmt.Errorf("%s: %w", o.File, err)
		rep.SetAside, err = setAside(o.File, o.Now())
	}
	if err != nil {
		return rep, fmt.Errorf("loading sessions from %s: %w", o.File, err)
	}
	return rep, nil
}

// loadOne packs one session. One whose id is known already is left out.
func (m *Manager) loadOne(snap *Snapshot) bool {
	k, ok := parseKey(snap.ID)
	if !ok {
		return false
	}
	sh := m.shard(k)
	s := m.fromSnapshot(sh, k, snap)
	s.saved = true
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if _, ok := sh.index[k]; ok || sh.closed {
		return false
	}
	m.counts.take(0)
	s.slot = sh.insertLocked(k, s.thisAccessed, s.maxIdle)
	sh.live[s.slot] = s
	sh.usedLocked(s.slot)
	sh.packLocked(s)
	return true
}

// setAside renames a file to a name that is free.
func setAside(name string, now time.Time) (string, error) {
	base := name + ".corrupt-" + now.UTC().Format("20060102T150405")
	for i := 0; ; i++ {
		to := base
		if i > 0 {
			to = fmt.Sprintf("%s-%d", base, i)
		}
		if _, err := os.Lstat(to); errors.Is(err, os.ErrNotExist) {
			return to, os.Rename(name, to)
		}
	}
}

// writeAtomically has f write a file that appears under its name whole or not at
// all, also if the machine stops.
func writeAtomically(name string, f func(io.Writer) error) (err error) {
	dir := filepath.Dir(name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(name)+".tmp-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(tmp.Name()))
		}
	}()
	if err := f(tmp); err != nil {
		return errors.Join(err, tmp.Close())
	}
	if err := errors.Join(tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), name); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	// Some file systems cannot sync a folder; the rename holds all the same.
	_ = d.Sync()
	return d.Close()
}
