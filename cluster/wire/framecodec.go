package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// MaxFrame is the longest payload of a control frame, in bytes.
const MaxFrame = 4 << 20

// AppendFrame appends a control frame: type, length of the payload, payload. A
// frame whose payload would be longer than MaxFrame is left out: the receiver
// would take it for an attack.
func AppendFrame(dst []byte, f Frame) []byte {
	payload := f.appendPayload(nil)
	if len(payload) > MaxFrame {
		return dst
	}
	return appendString(append(dst, byte(f.frameType())), payload)
}

// ReadFrame reads the next control frame of a known type; those of unknown types
// are skipped. io.EOF means that the stream ended between two frames. A payload
// is read in pieces, so that its length alone makes nobody allocate.
func ReadFrame(r *bufio.Reader) (Frame, error) {
	for {
		t, err := r.ReadByte()
		if err != nil {
			return nil, err
		}
		n, err := binary.ReadUvarint(r)
		if err != nil {
			return nil, fmt.Errorf("length of a control frame: %w", cut(err))
		}
		if n > MaxFrame {
			return nil, fmt.Errorf("control frame of %d bytes: at most %d", n, MaxFrame)
		}
		payload, err := io.ReadAll(io.LimitReader(r, int64(n)))
		if err == nil && uint64(len(payload)) < n {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, fmt.Errorf("control frame: %w", err)
		}
		if f, err := parsePayload(frameType(t), payload); f != nil || err != nil {
			return f, err
		}
	}
}

// cut is the error of a stream that ended within something.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// ParseFrame decodes the control frame that b begins with and returns the rest
// of b. The frame is nil if its type is unknown.
func ParseFrame(b []byte) (Frame, []byte, error) {
	r := newReader(b)
	t := r.byte("type of a control frame")
	at := r.off
	n := r.uvarint("length of a control frame")
	if n > MaxFrame {
		r.fail("length of a control frame", at)
	}
	payload := r.take(n, "control frame")
	if r.err != nil {
		return nil, nil, r.err
	}
	f, err := parsePayload(frameType(t), payload)
	return f, b[r.off:], err
}

// parsePayload decodes a payload; what follows the fields that are known here is
// skipped. It returns nil for an unknown type.
func parsePayload(t frameType, payload []byte) (Frame, error) {
	if int(t) >= len(frameReaders) || frameReaders[t] == nil {
		return nil, nil
	}
	r := newReader(payload)
	f := frameReaders[t](&r)
	if r.err != nil {
		return nil, fmt.Errorf("%T frame: %w", f, r.err)
	}
	return f, nil
}

// Negotiate is the version of the format that two nodes speak: the highest that
// both know. It fails if there is none.
func Negotiate(a, b Hello) (uint16, error) {
	v := min(a.MaxVersion, b.MaxVersion)
	if v < a.MinVersion || v < b.MinVersion {
		return 0, fmt.Errorf("no common version of the replication format: %q speaks %d to %d, %q speaks %d to %d",
			a.Name, a.MinVersion, a.MaxVersion, b.Name, b.MinVersion, b.MaxVersion)
	}
	return v, nil
}

var frameReaders = [...]func(*reader) Frame{
	frameHello:       readHello,
	frameApps:        readApps,
	frameCache:       readCache,
	frameSwitch:      readSwitch,
	frameCredit:      func(r *reader) Frame { return Credit{Bytes: r.uvarint("bytes")} },
	frameBatchAck:    func(r *reader) Frame { return BatchAck{Lane: r.byte("lane"), Batches: r.uvarint("batches")} },
	framePing:        func(r *reader) Frame { return Ping{Seq: r.uvarint("number")} },
	framePong:        func(r *reader) Frame { return Pong{Seq: r.uvarint("number")} },
	frameLeaving:     func(r *reader) Frame { return Leaving{Reason: r.string("reason")} },
	frameStatusQuery: func(r *reader) Frame { return StatusQuery{Seq: r.uvarint("number")} },
	frameStatus: func(r *reader) Frame {
		f := Status{Seq: r.uvarint("number")}
		f.Body = append(f.Body, r.sized("body")...)
		return f
	},
}

func (f Hello) appendPayload(b []byte) []byte {
	b = appendUvarint(b, uint64(f.MinVersion))
	b = appendUvarint(b, uint64(f.MaxVersion))
	b = appendUvarint(b, uint64(f.Node))
	b = appendString(b, f.Cluster)
	b = appendString(b, f.Name)
	b = appendString(b, f.Zone)
	b = appendString(b, f.Build)
	b = append(b, f.Lanes)
	b = appendBool(b, f.Bulk)
	return appendUvarint(b, uint64(f.MaxBatch))
}

func readHello(r *reader) Frame {
	return Hello{
		MinVersion: r.uint16("version"), MaxVersion: r.uint16("version"), Node: r.uint32("node"),
		Cluster: r.string("cluster"), Name: r.string("name"), Zone: r.string("zone"), Build: r.string("build"),
		Lanes: r.byte("lanes"), Bulk: r.bool("bulk"), MaxBatch: r.uint32("longest batch"),
	}
}

func (r *reader) uint16(what string) uint16 {
	at := r.off
	v := r.uvarint(what)
	if v > 0xffff {
		r.fail(what, at)
		return 0
	}
	return uint16(v)
}

// What an App is.
const (
	appLevel = 1 << iota
	appOn
)

func (f Apps) appendPayload(b []byte) []byte {
	b = appendUvarint(b, uint64(len(f.Apps)))
	for _, a := range f.Apps {
		// Each with its length, so that an App can grow.
		var one []byte
		one = appendUvarint(one, uint64(a.Number))
		one = appendString(one, a.Key)
		one = appendString(one, a.Cache)
		one = appendUvarint(one, uint64(len(a.Versions)))
		for _, v := range a.Versions {
			one = appendString(one, v)
		}
		flags := byte(0)
		if a.Level {
			flags |= appLevel
		}
		if a.On {
			flags |= appOn
		}
		one = append(one, flags)
		if a.Run != 0 {
			one = appendUvarint(one, uint64(a.Run))
		}
		b = appendString(b, one)
	}
	return b
}

func readApps(r *reader) Frame {
	f := Apps{Apps: make([]App, r.count(6, "number of applications"))}
	for i := range f.Apps {
		at := r.off
		in := newReader(r.sized("application"))
		a := App{Number: in.uint32("number"), Key: in.string("key"), Cache: in.string("cache")}
		for range in.count(1, "number of versions") {
			a.Versions = append(a.Versions, in.string("version"))
		}
		flags := in.byte("flags")
		a.Level, a.On = flags&appLevel != 0, flags&appOn != 0
		if in.left() > 0 {
			a.Run = in.uint32("run")
		}
		if in.err != nil {
			r.fail("application", at)
		}
		if r.err != nil {
			break
		}
		f.Apps[i] = a
	}
	return f
}

func (f Cache) appendPayload(b []byte) []byte {
	b = appendString(b, f.Name)
	b = appendUvarint(b, f.Epoch)
	b = appendUvarint(b, uint64(f.By))
	b = appendString(b, f.Mode)
	b = appendUvarint(b, uint64(f.Owners))
	b = appendString(b, f.Ack)
	b = appendAge(b, f.AckTimeout)
	b = appendString(b, f.OnTimeout)
	b = appendString(b, f.Misroute)
	return appendString(b, f.Consistency)
}

func readCache(r *reader) Frame {
	return Cache{
		Name: r.string("name"), Epoch: r.uvarint("epoch"), By: r.uint32("node"), Mode: r.string("mode"),
		Owners: r.uint32("owners"), Ack: r.string("ack"), AckTimeout: r.age().Truncate(time.Millisecond),
		OnTimeout: r.string("on timeout"), Misroute: r.string("misroute"), Consistency: r.string("consistency"),
	}
}

func (f Switch) appendPayload(b []byte) []byte {
	b = appendString(b, f.App)
	b = appendUvarint(b, f.Epoch)
	b = appendUvarint(b, uint64(f.By))
	return appendBool(b, f.On)
}

func readSwitch(r *reader) Frame {
	return Switch{App: r.string("application"), Epoch: r.uvarint("epoch"), By: r.uint32("node"), On: r.bool("switch")}
}

func (f Credit) appendPayload(b []byte) []byte { return appendUvarint(b, f.Bytes) }

func (f BatchAck) appendPayload(b []byte) []byte {
	return appendUvarint(append(b, f.Lane), f.Batches)
}

func (f Ping) appendPayload(b []byte) []byte        { return appendUvarint(b, f.Seq) }
func (f Pong) appendPayload(b []byte) []byte        { return appendUvarint(b, f.Seq) }
func (f Leaving) appendPayload(b []byte) []byte     { return appendString(b, f.Reason) }
func (f StatusQuery) appendPayload(b []byte) []byte { return appendUvarint(b, f.Seq) }

func (f Status) appendPayload(b []byte) []byte { return appendString(appendUvarint(b, f.Seq), f.Body) }
