package accesslog

import (
	"sync"
	"sync/atomic"
	"time"
)

// Line is a line on its way into a File. It is used again for other lines.
type Line struct {
	// Entry is room for what the line is made of; Write clears it.
	Entry Entry
	// Text is the line with its end, At the time that decides which file it goes to.
	Text []byte
	At   time.Time

	next *Line
}

var lines = sync.Pool{New: func() any { return &Line{} }}

// keptText is how long a line may be whose memory is used again.
const keptText = 16 << 10

// NewLine returns a Line without text, for Write.
func NewLine() *Line {
	l, _ := lines.Get().(*Line)
	l.Text = l.Text[:0]
	return l
}

func (l *Line) free() {
	if l.next = nil; cap(l.Text) <= keptText {
		lines.Put(l)
	}
}

// pile is where lines wait to be written: requests put theirs on it without waiting for
// one another, and for a disk only when it does not keep up.
type pile struct {
	top   atomic.Pointer[Line]
	bytes atomic.Int64 // of the lines on it, about
}

// put adds a line and returns how many bytes wait.
func (p *pile) put(l *Line) int64 {
	n := int64(len(l.Text)) // it is another's from the swap on
	for {
		l.next = p.top.Load()
		if p.top.CompareAndSwap(l.next, l) {
			return p.bytes.Add(n)
		}
	}
}

// take empties the pile and returns its lines, the oldest first.
func (p *pile) take() (first *Line) {
	n := int64(0)
	for at := p.top.Swap(nil); at != nil; {
		next := at.next
		at.next, first = first, at
		n += int64(len(at.Text))
		at = next
	}
	p.bytes.Add(-n)
	return first
}
