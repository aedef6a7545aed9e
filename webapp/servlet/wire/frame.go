package wire

import (
	"encoding/binary"
	"fmt"
)

// Protocol is the version that this package speaks. A worker names the
// lowest and the highest that it knows in Hello, the server answers with the
// one to use in Welcome.
const Protocol = 1

// Sizes, in bytes.
const (
	// HeaderLen is the length of a frame's header.
	HeaderLen = 10
	// MaxPayload is the longest payload that either side accepts.
	MaxPayload = 16 << 20
	// MaxData is the longest piece of a body in one Data frame, and the
	// longest body that an Invoke or a Response carries after its head.
	MaxData = 32 << 10
	// DefaultWindow is the credit for body bytes that each direction of a
	// stream begins with.
	DefaultWindow = 256 << 10
	// MaxInline is the longest attribute value that an Invoke carries;
	// longer ones are loaded when the application asks for them.
	MaxInline = 64 << 10
)

// Type is the type of a frame. The numbers are on the wire: append only.
type Type uint8

// The frame types. The comment says who sends it (S server, W worker).
const (
	TypeHello    Type = 1  // W, first frame of all
	TypeWelcome  Type = 2  // S, its answer
	TypePing     Type = 3  // either; the payload comes back
	TypePong     Type = 4  // either
	TypeLog      Type = 5  // W, a line for the application's log
	TypeStop     Type = 6  // S: no more streams will come, end when the open ones have
	TypeInvoke   Type = 16 // S, opens a stream: a request
	TypeInit     Type = 17 // S, opens a stream: initialise something
	TypeEvent    Type = 18 // S, opens a stream: a listener event
	TypeDispatch Type = 19 // W, opens a stream: forward, include or the rest of the chain
	TypeResponse Type = 32 // head of an answer and the beginning of its body
	TypeData     Type = 33 // a piece of a body
	TypeEnd      Type = 34 // end of the sender's direction of a stream
	TypeWindow   Type = 35 // more credit for body bytes
	TypeCancel   Type = 36 // the answer is no longer wanted
	TypeCall     Type = 37 // W, asks the container for something
	TypeReply    Type = 38 // S, answers a Call
)

var typeNames = map[Type]string{
	TypeHello: "HELLO", TypeWelcome: "WELCOME", TypePing: "PING", TypePong: "PONG", TypeLog: "LOG",
	TypeStop: "STOP", TypeInvoke: "INVOKE", TypeInit: "INIT", TypeEvent: "EVENT", TypeDispatch: "DISPATCH",
	TypeResponse: "RESPONSE", TypeData: "DATA", TypeEnd: "END", TypeWindow: "WINDOW", TypeCancel: "CANCEL",
	TypeCall: "CALL", TypeReply: "REPLY",
}

// String is the type's name in the specification.
func (t Type) String() string {
	if s, ok := typeNames[t]; ok {
		return s
	}
	return fmt.Sprintf("TYPE-%d", uint8(t))
}

// opens reports whether a frame of this type begins a stream.
func (t Type) opens() bool { return t >= TypeInvoke && t <= TypeDispatch }

// Flags qualify a frame.
type Flags uint8

// The flags.
const (
	// FlagEnd: the sender's direction of the stream ends with this frame.
	// On Invoke: the request has no body beyond what the frame carries.
	FlagEnd Flags = 1 << 0
	// FlagFlush on Response and Data: pass it on to the client now.
	FlagFlush Flags = 1 << 2
	// FlagCommit on Response: the head is a commit point, so that the
	// Changes in it must be safe before the head leaves.
	FlagCommit Flags = 1 << 3
	// FlagInfo on Response: an informational head (1xx), another follows.
	FlagInfo Flags = 1 << 4
)

// Header is the head of a frame.
type Header struct {
	Length uint32 // of the payload
	Type   Type
	Flags  Flags
	Stream uint32 // 0 is the connection
}

// AppendHeader appends the ten bytes of h.
func AppendHeader(b []byte, h Header) []byte {
	b = binary.BigEndian.AppendUint32(b, h.Length)
	b = append(b, byte(h.Type), byte(h.Flags))
	return binary.BigEndian.AppendUint32(b, h.Stream)
}

// putHeader writes h over the first ten bytes of b.
func putHeader(b []byte, h Header) {
	binary.BigEndian.PutUint32(b, h.Length)
	b[4], b[5] = byte(h.Type), byte(h.Flags)
	binary.BigEndian.PutUint32(b[6:], h.Stream)
}

// ParseHeader reads the first ten bytes of b, which must be there, and checks
// the length against MaxPayload.
func ParseHeader(b []byte) (Header, error) {
	_ = b[HeaderLen-1]
	h := Header{
		Length: binary.BigEndian.Uint32(b),
		Type:   Type(b[4]),
		Flags:  Flags(b[5]),
		Stream: binary.BigEndian.Uint32(b[6:]),
	}
	if h.Length > MaxPayload {
		return h, fmt.Errorf("wire: %s frame of %d bytes, at most %d are allowed", h.Type, h.Length, MaxPayload)
	}
	return h, nil
}

// within checks the length against a limit that holds here.
func (h Header) within(limit int) error {
	if int(h.Length) > limit {
		return fmt.Errorf("wire: %s frame of %d bytes, at most %d are allowed here", h.Type, h.Length, limit)
	}
	return nil
}

// AppendFrame appends a whole frame.
func AppendFrame(b []byte, t Type, f Flags, stream uint32, payload []byte) []byte {
	b = AppendHeader(b, Header{Length: uint32(len(payload)), Type: t, Flags: f, Stream: stream})
	return append(b, payload...)
}

// ParseFrame splits the first frame off b. It returns n = 0 if b does not hold
// a whole one. The payload is part of b.
func ParseFrame(b []byte) (h Header, payload []byte, n int, err error) {
	if len(b) < HeaderLen {
		return Header{}, nil, 0, nil
	}
	h, err = ParseHeader(b)
	if err != nil {
		return h, nil, 0, err
	}
	n = HeaderLen + int(h.Length)
	if len(b) < n {
		return h, nil, 0, nil
	}
	return h, b[HeaderLen:n:n], n, nil
}
