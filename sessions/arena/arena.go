// Package arena keeps many small blocks of bytes in memory that the garbage
// collector neither scans nor counts. A million idle sessions would otherwise
// make the collector's heap, and the headroom that it keeps above it, twice as
// large as the sessions are.
//
// A block belongs to a size class, a chunk of 256 KiB holds blocks of one class,
// and a chunk without blocks goes back to the operating system. Blocks never
// move and nothing may keep a block's bytes beyond the lock under which it got
// them: after Free or Release they are other blocks' bytes, or no memory at all.
//
// A manager of sessions keeps its idle ones here, and so does the replication
// with its copies of other nodes' sessions.
package arena

import (
	"encoding/binary"
	"fmt"
	"sort"
)

const (
	chunkSize = 256 << 10
	minBlock  = 32
	maxBlock  = 16 << 10
)

// sizes are the size classes: steps of a sixteenth, so that a block wastes little.
var sizes = makeSizes()

func makeSizes() []int {
	var s []int
	for n := minBlock; n < maxBlock; {
		s = append(s, n)
		n = (n + max(n/16, 8) + 7) &^ 7
	}
	return append(s, maxBlock)
}

// Ref names a block. The zero Ref names none.
type Ref struct{ chunk, block uint32 }

// IsZero reports whether the Ref names no block.
func (r Ref) IsZero() bool { return r == Ref{} }

// chunk is memory cut into blocks of one class, or a single large block.
type chunk struct {
	data   []byte
	size   int    // of a block
	used   int    // blocks
	cut    uint32 // blocks that were used at least once
	free   uint32 // first free block + 1; each begins with the next
	place  int    // in its class's list of chunks with room; -1: not there
	class  int    // -1: a large block on the collector's heap
	blocks uint32
}

// Arena is a set of blocks. The zero value is empty and ready. It is not safe for
// concurrent use.
type Arena struct {
	chunks []chunk    // by Ref.chunk-1
	unused []uint32   // places in chunks without memory
	room   [][]uint32 // by class: chunks with a free block
	mapped int
}

// Mapped is how many bytes of address space the arena has taken.
func (a *Arena) Mapped() int { return a.mapped }

// Alloc returns a block of n bytes or a few more, with undefined content.
func (a *Arena) Alloc(n int) (Ref, []byte, error) {
	if n > maxBlock {
		return a.large(n)
	}
	class := sort.SearchInts(sizes, n)
	if a.room == nil {
		a.room = make([][]uint32, len(sizes))
	}
	if len(a.room[class]) == 0 {
		if err := a.grow(class); err != nil {
			return Ref{}, nil, err
		}
	}
	room := a.room[class]
	ci := room[len(room)-1]
	c := &a.chunks[ci]
	var b uint32
	if c.free != 0 {
		b = c.free - 1
		c.free = binary.LittleEndian.Uint32(c.data[int(b)*c.size:])
	} else {
		b = c.cut
		c.cut++
	}
	c.used++
	if c.used == int(c.blocks) {
		a.room[class], c.place = room[:len(room)-1], -1
	}
	r := Ref{ci + 1, b}
	return r, a.Bytes(r), nil
}

// Bytes returns a block: at least the length that Alloc was asked for.
func (a *Arena) Bytes(r Ref) []byte {
	c := &a.chunks[r.chunk-1]
	at := int(r.block) * c.size
	return c.data[at : at+c.size : at+c.size]
}

// Free gives a block back.
func (a *Arena) Free(r Ref) {
	ci := r.chunk - 1
	c := &a.chunks[ci]
	c.used--
	if c.class < 0 {
		a.drop(ci)
		return
	}
	binary.LittleEndian.PutUint32(c.data[int(r.block)*c.size:], c.free)
	c.free = r.block + 1
	if c.place < 0 {
		c.place = len(a.room[c.class])
		a.room[c.class] = append(a.room[c.class], ci)
	}
	// One empty chunk of a class is kept, so that a class with a single
	// block that comes and goes does not map and unmap.
	if c.used == 0 && len(a.room[c.class]) > 1 {
		a.drop(ci)
	}
}

// Release gives all memory back. The arena is empty then.
func (a *Arena) Release() {
	for i := range a.chunks {
		if a.chunks[i].class >= 0 && a.chunks[i].data != nil {
			unmap(a.chunks[i].data)
		}
	}
	*a = Arena{}
}

func (a *Arena) place() uint32 {
	if n := len(a.unused); n > 0 {
		ci := a.unused[n-1]
		a.unused = a.unused[:n-1]
		return ci
	}
	a.chunks = append(a.chunks, chunk{})
	return uint32(len(a.chunks) - 1)
}

func (a *Arena) grow(class int) error {
	data, err := mapMemory(chunkSize)
	if err != nil {
		return fmt.Errorf("mapping %d bytes for idle sessions: %w", chunkSize, err)
	}
	ci := a.place()
	a.chunks[ci] = chunk{data: data, size: sizes[class], class: class, blocks: uint32(chunkSize / sizes[class])}
	a.room[class] = append(a.room[class], ci)
	a.mapped += chunkSize
	return nil
}

func (a *Arena) large(n int) (Ref, []byte, error) {
	ci := a.place()
	data := make([]byte, n)
	a.chunks[ci] = chunk{data: data, size: n, used: 1, cut: 1, place: -1, class: -1, blocks: 1}
	a.mapped += n
	return Ref{ci + 1, 0}, data, nil
}

func (a *Arena) drop(ci uint32) {
	c := &a.chunks[ci]
	a.mapped -= len(c.data)
	if c.class >= 0 {
		room := a.room[c.class]
		last := room[len(room)-1]
		room[c.place], a.chunks[last].place = last, c.place
		a.room[c.class] = room[:len(room)-1]
		unmap(c.data)
	}
	*c = chunk{}
	a.unused = append(a.unused, ci)
}
