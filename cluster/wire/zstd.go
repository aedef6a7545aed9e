package wire

import (
	"runtime"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// The encoder and the decoder hold a few pooled states each and are safe for
// concurrent use: one of each serves the process. They are made when the first
// batch needs them.
var (
	zstdEncoder = sync.OnceValue(func() *zstd.Encoder {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithLowerEncoderMem(true),
			zstd.WithEncoderCRC(false), zstd.WithWindowSize(encoderWindow), zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)))
		if err != nil {
			panic("wire: " + err.Error()) // the options are constants
		}
		return e
	})
	zstdDecoder = sync.OnceValue(func() *zstd.Decoder {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(runtime.GOMAXPROCS(0)), zstd.WithDecodeAllCapLimit(true),
			zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(zstdWindow))
		if err != nil {
			panic("wire: " + err.Error())
		}
		return d
	})
	// scratch holds buffers for the messages of compressed batches.
	scratch = sync.Pool{New: func() any { return new([]byte) }}
)

const (
	// encoderWindow is how far back an encoder looks. Each of the pooled states
	// keeps twice as much, and what is alike in a batch is near: copies.
	encoderWindow = 256 << 10
	// zstdWindow bounds what a frame can ask its decoder to keep.
	zstdWindow = 8 << 20
	// maxScratch is from which size on a buffer is not kept for reuse.
	maxScratch = 1 << 20
	// maxBatch is how long the messages of one batch may be, uncompressed.
	maxBatch = 256 << 20
)

// compressBatch compresses the messages of the batch that begins at dst[start],
// if that makes it shorter, and reports whether it did.
func compressBatch(dst []byte, start int) ([]byte, bool) {
	raw := getScratch(len(dst) - start)
	defer putScratch(raw)
	*raw = append(*raw, dst[start+1:]...)
	out := appendUvarint(append(dst[:start], Version|flagZstd), uint64(len(*raw)))
	out = zstdEncoder().EncodeAll(*raw, out)
	size := len(out) - start
	if size > len(*raw)-len(*raw)/16 || size*MaxInflate < len(*raw) {
		out = append(out[:start], Version)
		return append(out, *raw...), false
	}
	return out, true
}

// inflateBatch returns the messages of a compressed batch, to be given back with
// putScratch.
func inflateBatch(r *reader) (*[]byte, error) {
	at := r.off
	n := r.uvarint("length of a batch")
	if n > min(maxBatch, uint64(r.end)*MaxInflate) {
		r.fail("length of a batch", at)
	}
	if r.err != nil {
		return nil, r.err
	}
	raw := getScratch(int(n))
	out, err := zstdDecoder().DecodeAll(r.b[r.off:r.end], (*raw)[:0:n])
	if err != nil || uint64(len(out)) != n {
		putScratch(raw)
		r.fail("compressed batch", at)
		return nil, r.err
	}
	*raw = out
	return raw, nil
}

// getScratch returns an empty buffer with room for n bytes.
func getScratch(n int) *[]byte {
	b := scratch.Get().(*[]byte)
	*b = slices.Grow((*b)[:0], n)
	return b
}

func putScratch(b *[]byte) {
	if cap(*b) <= maxScratch {
		scratch.Put(b)
	}
}
