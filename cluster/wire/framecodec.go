package wire

import (
	"errors"
	"io"
)

// MaxFrame is the longest payload of a control frame.
const MaxFrame = 1 << 20

// AppendFrame appends a control frame: type, length, payload.
func AppendFrame(dst []byte, f Frame) []byte { return dst }

// ReadFrame reads the next control frame of a known type from r, which should be
// buffered (it is read byte by byte up to the payload). Frames of unknown types
// are skipped. io.EOF means that the stream ended between two frames.
func ReadFrame(r io.Reader) (Frame, error) { return nil, errors.New("wire: not yet") }

// ParseFrame decodes the control frame that b begins with and returns the rest
// of b. The frame is nil if its type is unknown.
func ParseFrame(b []byte) (Frame, []byte, error) { return nil, nil, errors.New("wire: not yet") }

// Negotiate is the version of the format that two nodes speak: the highest that
// both know. It fails if there is none.
func Negotiate(a, b Hello) (uint16, error) { return 0, errors.New("wire: not yet") }
