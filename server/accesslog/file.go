package accesslog

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Rotation says when a File starts another file.
type Rotation string

// The rotations.
const (
	Daily  Rotation = "daily"
	Hourly Rotation = "hourly"
	Never  Rotation = "never"
)

// FileOptions configure a File.
type FileOptions struct {
	// Directory is made if it is missing.
	Directory      string
	Prefix, Suffix string
	// Rotation is Daily if empty.
	Rotation Rotation
	// MaxSize starts another file when one has more bytes; 0 for never.
	MaxSize int64
	// MaxDays removes files that are older at each rotation; 0 keeps all.
	MaxDays int
	// Flush bounds how long a line stays in memory; 0 writes each at once.
	Flush time.Duration
	// Logger hears of files that cannot be written; slog.Default if nil.
	Logger *slog.Logger
	// Now is the clock, time.Now if nil.
	Now func() time.Time
}

const (
	// bufferSize is how much is collected before it is written anyway.
	bufferSize = 64 << 10
	// maxPile is how much may wait for the disk until requests wait for it too.
	maxPile = 16 * bufferSize
)

// File takes lines. Its methods are safe for concurrent use.
type File struct {
	opt  FileOptions
	pile pile
	done chan struct{}
	wait sync.WaitGroup

	mu      sync.Mutex
	f       *os.File  // guarded by mu, as all below
	name    string    // of f
	size    int64     // of f, with what is in buf
	period  string    // the date or hour in the name
	until   time.Time // when the period ends
	part    int       // files of the period that were full
	buf     []byte
	failed  bool // the last write failed, and that was reported
	dropped int  // lines since then
	closed  bool
}

// Open opens the current file, so that a folder that cannot be written is found
// out at the start.
func Open(o FileOptions) (*File, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Rotation == "" {
		o.Rotation = Daily
	}
	l := &File{opt: o, done: make(chan struct{})}
	if err := os.MkdirAll(o.Directory, 0o750); err != nil {
		return nil, fmt.Errorf("access log: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.rotateLocked(o.Now()); err != nil {
		return nil, err
	}
	if o.Flush > 0 {
		l.wait.Go(l.flusher)
	}
	return l, nil
}

// flusher writes what has been collected, until Close.
func (l *File) flusher() {
	tick := time.NewTicker(l.opt.Flush)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.Flush()
		case <-l.done:
			return
		}
	}
}

// Write adds a line, which is the File's from then on. After Close it is dropped.
func (l *File) Write(line *Line) {
	line.Entry = Entry{} // a request must not wait with it
	waiting := l.pile.put(line)
	switch {
	case l.opt.Flush <= 0 || waiting >= maxPile:
		l.Flush()
	case waiting >= bufferSize && l.mu.TryLock(): // else somebody is at it
		l.writeLocked()
		l.mu.Unlock()
	}
}

// Flush writes what has been collected.
func (l *File) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writeLocked()
}

// writeLocked writes the lines that wait.
func (l *File) writeLocked() {
	for line := l.pile.take(); line != nil; {
		next := line.next
		if !l.closed {
			l.addLocked(line)
		}
		line.free()
		line = next
	}
	l.flushLocked()
}

// addLocked adds a line to what is written next.
func (l *File) addLocked(line *Line) {
	if !line.At.Before(l.until) || l.opt.MaxSize > 0 && l.size > 0 && l.size+int64(len(line.Text)) > l.opt.MaxSize {
		l.flushLocked()
		if err := l.rotateLocked(line.At); err != nil {
			l.reportLocked(err)
		}
	}
	l.buf = append(l.buf, line.Text...)
	l.size += int64(len(line.Text))
	if len(l.buf) >= bufferSize {
		l.flushLocked()
	}
}

// Close writes what has been collected and closes the file.
func (l *File) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.writeLocked()
	l.closed = true
	var err error
	if l.f != nil {
		err = l.f.Close()
	}
	l.mu.Unlock()
	close(l.done)
	l.wait.Wait()
	return err
}

func (l *File) flushLocked() {
	if len(l.buf) == 0 || l.closed {
		return
	}
	err := error(nil)
	if l.f == nil {
		err = l.openLocked()
	}
	if err == nil {
		_, err = l.f.Write(l.buf)
	}
	if err != nil {
		l.dropped += strings.Count(string(l.buf), "\n")
		l.reportLocked(err)
	} else if l.failed {
		l.failed = false
		l.opt.Logger.Warn("access log is written again", "file", l.name, "lines_lost", l.dropped)
		l.dropped = 0
	}
	l.buf = l.buf[:0]
}

// reportLocked tells once that lines are being lost.
func (l *File) reportLocked(err error) {
	if !l.failed {
		l.failed = true
		l.opt.Logger.Error("access log cannot be written, its lines are dropped", "file", l.name, "error", err)
	}
}

// rotateLocked opens the file for now, closing the one before.
func (l *File) rotateLocked(now time.Time) error {
	period, until := l.periodOf(now)
	if period == l.period && l.f != nil {
		l.part++
	} else {
		l.part = 0
	}
	l.period, l.until = period, until
	if l.f != nil {
		if err := l.f.Close(); err != nil {
			l.opt.Logger.Warn("closing an access log", "file", l.name, "error", err)
		}
		l.f = nil
	}
	if err := l.openLocked(); err != nil {
		return err
	}
	l.removeOldLocked(now)
	return nil
}

// periodOf returns the part of the name that stands for now, and when it ends.
func (l *File) periodOf(now time.Time) (string, time.Time) {
	y, m, d := now.Date()
	switch l.opt.Rotation {
	case Hourly:
		return now.Format(".2006-01-02.15"), time.Date(y, m, d, now.Hour()+1, 0, 0, 0, now.Location())
	case Never:
		return "", now.AddDate(1000, 0, 0)
	}
	return now.Format(".2006-01-02"), time.Date(y, m, d+1, 0, 0, 0, 0, now.Location())
}

// openLocked opens the file of the period, or the next part that is not full.
func (l *File) openLocked() error {
	for {
		name := l.opt.Prefix + l.period
		if l.part > 0 {
			name += "." + strconv.Itoa(l.part)
		}
		l.name = filepath.Join(l.opt.Directory, name+l.opt.Suffix)
		f, err := os.OpenFile(l.name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
		if err != nil {
			return fmt.Errorf("access log: %w", err)
		}
		info, err := f.Stat()
		if err != nil {
			return errors.Join(fmt.Errorf("access log: %w", err), f.Close())
		}
		if l.opt.MaxSize > 0 && info.Size() >= l.opt.MaxSize {
			if err := f.Close(); err != nil {
				return fmt.Errorf("access log: %w", err)
			}
			l.part++
			continue
		}
		l.f, l.size = f, info.Size()+int64(len(l.buf))
		return nil
	}
}

// removeOldLocked removes files of this log that are older than MaxDays.
func (l *File) removeOldLocked(now time.Time) {
	if l.opt.MaxDays <= 0 || l.opt.Rotation == Never {
		return
	}
	oldest := now.AddDate(0, 0, -l.opt.MaxDays).Format("2006-01-02")
	entries, err := os.ReadDir(l.opt.Directory)
	if err != nil {
		l.opt.Logger.Warn("looking for old access logs", "error", err)
		return
	}
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), l.opt.Prefix+".")
		if !ok || !strings.HasSuffix(rest, l.opt.Suffix) || len(rest) < 10 {
			continue
		}
		if _, err := time.Parse("2006-01-02", rest[:10]); err != nil || rest[:10] >= oldest {
			continue
		}
		if err := os.Remove(filepath.Join(l.opt.Directory, e.Name())); err != nil {
			l.opt.Logger.Warn("removing an old access log", "error", err)
		}
	}
}
