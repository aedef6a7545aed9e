package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"

	"github.com/klauspost/compress/s2"

	"github.com/serval-server/serval/cluster/replica"
)

// A patch begins with its kind and a checksum of the base and the result.
const (
	patchSplice byte = iota + 1 // length of the result, then splice's commands
	patchS2                     // length of the result, then an s2 block with the base as dictionary
	patchMap                    // number of changed entries, then each one's name and value
)

// patchHead is the length of kind and checksum.
const patchHead = 5

// ErrPatch means that a patch is damaged or was not made against this value. The
// receiver asks for the whole copy then.
var ErrPatch = errors.New("patch does not fit")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Patch says how a value differs from the old one, if that takes at most three
// quarters of the bytes of the value itself; otherwise it returns false. Values of the two kinds
// (bytes, map) have no patch between them. A patch never makes more than
// [MaxInflate] times its own length and the length of old.
func Patch(old, now replica.Value) ([]byte, bool) {
	if now.Map != nil {
		return patchMaps(old.Map, now.Map)
	}
	if old.Map != nil || len(old.Bytes) == 0 || len(now.Bytes) > maxValue || len(old.Bytes) > maxValue {
		return nil, false
	}
	var head [patchHead]byte
	b := appendDifference(make([]byte, patchHead, 160), old.Bytes, now.Bytes)
	if len(b) > len(now.Bytes)/4*3 || len(now.Bytes) > limit(old.Bytes, len(b)-1) {
		return nil, false
	}
	head[0] = b[patchHead] // appendDifference begins with the kind
	binary.LittleEndian.PutUint32(head[1:], sumBytes(old.Bytes, now.Bytes))
	b = b[1:]
	copy(b, head[:])
	return b, true
}

// limit is how long the result of a patch may be.
func limit(old []byte, patch int) int { return min(maxValue, len(old)+MaxInflate*patch) }

func sumBytes(old, now []byte) uint32 {
	return crc32.Update(crc32.Checksum(old, castagnoli), castagnoli, now)
}

// appendDifference appends kind, length of the value, and the shorter of two
// ways to make it of the old one.
func appendDifference(b, old, now []byte) []byte {
	at := len(b)
	b = appendSplice(appendUvarint(append(b, patchSplice), uint64(len(now))), old, now)
	if len(b)-at <= len(now)/4 || len(old) < s2.MinDictSize || len(old) > s2.MaxDictSize {
		return b
	}
	// Much is new: let s2 look for what splice does not see.
	dict := s2.MakeDict(old, nil)
	if dict == nil {
		return b
	}
	if block := dict.Encode(nil, now); len(block) < len(b)-at-4 {
		b = append(appendUvarint(append(b[:at], patchS2), uint64(len(now))), block...)
	}
	return b
}

// applyDifference makes a value of old and what appendDifference wrote, less the
// kind.
func applyDifference(kind byte, old []byte, r *reader) ([]byte, error) {
	size := r.uvarint("length of the result")
	if r.err != nil {
		return nil, r.err
	}
	if size > uint64(limit(old, len(r.b))) {
		return nil, &Error{"length of the result", 0}
	}
	switch kind {
	case patchSplice:
		return applySplice(make([]byte, 0, size), old, int(size), r)
	case patchS2:
		block := r.take(uint64(r.left()), "block")
		if n, err := s2.DecodedLen(block); err != nil || uint64(n) != size {
			return nil, &Error{"length of a block", 0}
		}
		dict := s2.MakeDict(old, nil)
		if dict == nil {
			return nil, &Error{"base of a block", 0}
		}
		return dict.Decode(make([]byte, size), block)
	}
	return nil, &Error{"kind of a difference", 0}
}

// Unpatch applies what Patch made. Its result shares nothing with the patch; of a
// map, it shares the entries that have not changed with old. It fails (ErrPatch)
// if old is not the value that the patch was made against.
func Unpatch(old replica.Value, patch []byte) (replica.Value, error) {
	r := newReader(patch)
	kind := r.byte("kind of a patch")
	sum := r.take(patchHead-1, "checksum")
	if r.err != nil {
		return replica.Value{}, fmt.Errorf("%w: %w", ErrPatch, r.err)
	}
	want := binary.LittleEndian.Uint32(sum)
	if kind == patchMap {
		return unpatchMap(old, &r, want)
	}
	if old.Map != nil {
		return replica.Value{}, fmt.Errorf("%w: the value is a map", ErrPatch)
	}
	b, err := applyDifference(kind, old.Bytes, &r)
	if err != nil {
		return replica.Value{}, fmt.Errorf("%w: %w", ErrPatch, err)
	}
	if got := sumBytes(old.Bytes, b); got != want {
		return replica.Value{}, fmt.Errorf("%w: checksum %08x, want %08x", ErrPatch, got, want)
	}
	return replica.Value{Bytes: b}, nil
}

// sumEntry is the checksum of one entry. A map's is the sum of those of its
// entries, so that the order does not matter and the part that has not changed
// need not be read twice.
func sumEntry(name string, value []byte) uint32 {
	var room [64]byte
	return crc32.Update(crc32.Checksum(appendString(room[:0], name), castagnoli), castagnoli, value)
}

// sumMaps checks base and result: both change if an entry of the base does, and
// not by the same amount.
func sumMaps(base, result uint32) uint32 { return base*31 + result }

func patchMaps(old, now map[string][]byte) ([]byte, bool) {
	if old == nil {
		return nil, false
	}
	var base, result uint32
	var changed []string
	whole := 0 // bytes that now takes itself
	for name, v := range now {
		whole += len(name) + len(v) + 2
		o, ok := old[name]
		switch {
		case !ok:
			result += sumEntry(name, v)
			changed = append(changed, name)
		case bytes.Equal(o, v):
			s := sumEntry(name, v)
			base += s
			result += s
		default:
			base += sumEntry(name, o)
			result += sumEntry(name, v)
			changed = append(changed, name)
		}
	}
	for name, o := range old {
		if _, ok := now[name]; !ok {
			base += sumEntry(name, o)
			changed = append(changed, name)
		}
	}
	slices.Sort(changed)
	b := binary.LittleEndian.AppendUint32([]byte{patchMap}, sumMaps(base, result))
	b = appendUvarint(b, uint64(len(changed)))
	for _, name := range changed {
		b = appendString(b, name)
		o, was := old[name]
		v, is := now[name]
		f, data := formRemove, []byte(nil)
		if is {
			f, data = encodeEntry(o, was, v)
		}
		b = appendForm(b, f, data)
	}
	return b, len(b) <= whole/4*3
}

// encodeEntry writes a map's entry as its difference, compressed or as it is.
func encodeEntry(old []byte, was bool, v []byte) (form, []byte) {
	if was && len(v) >= patchMin && len(old) > 0 && max(len(old), len(v)) <= maxValue {
		d := appendDifference(nil, old, v)
		if len(d) <= len(v)/4*3 && len(v) <= limit(old, len(d)) {
			return formPatch, d
		}
	}
	if p, ok := pack(v); ok {
		return formPacked, p
	}
	return formRaw, v
}

func unpatchMap(old replica.Value, r *reader, want uint32) (replica.Value, error) {
	if old.Map == nil {
		return replica.Value{}, fmt.Errorf("%w: the value is no map", ErrPatch)
	}
	var base uint32
	for name, v := range old.Map {
		base += sumEntry(name, v)
	}
	result := base
	m := maps.Clone(old.Map)
	for range r.count(2, "number of entries") {
		at := r.off
		name := r.string("name of an entry")
		o, was := m[name]
		if was {
			result -= sumEntry(name, o)
		}
		f, data := r.form()
		if r.err != nil {
			break
		}
		if f == formRemove {
			delete(m, name)
			continue
		}
		v, err := unpatchEntry(r, f, data, o, at)
		if err != nil {
			return replica.Value{}, fmt.Errorf("%w: entry %q: %w", ErrPatch, name, err)
		}
		m[name] = v
		result += sumEntry(name, v)
	}
	if r.err != nil {
		return replica.Value{}, fmt.Errorf("%w: %w", ErrPatch, r.err)
	}
	if got := sumMaps(base, result); got != want {
		return replica.Value{}, fmt.Errorf("%w: checksum %08x, want %08x", ErrPatch, got, want)
	}
	return replica.Value{Map: m}, nil
}

func unpatchEntry(r *reader, f form, data, old []byte, at int) ([]byte, error) {
	switch f {
	case formRaw:
		return append(make([]byte, 0, len(data)), data...), nil
	case formPacked:
		v := r.unpack(data, at)
		return v, r.err
	case formPatch:
		in := newReader(data)
		kind := in.byte("kind of a difference")
		return applyDifference(kind, old, &in)
	}
	return nil, &Error{"form of an entry", at}
}
