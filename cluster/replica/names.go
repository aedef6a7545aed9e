package replica

import (
	"encoding/binary"
	"strings"
)

const (
	maxNames = 4096
	maxName  = 128
)

// names gives the keys of registers small numbers, so that a packed session does
// not repeat them. It is bounded: an application that makes up names pays for
// them in its sessions, not here.
type names struct {
	numbers map[string]uint32 // from 1
	list    []string
}

// append writes a name: its number, or 0 and the name itself.
func (t *names) append(b []byte, name string) []byte {
	i := t.numbers[name]
	if i == 0 && len(t.list) < maxNames && len(name) <= maxName {
		if t.numbers == nil {
			t.numbers = map[string]uint32{}
		}
		name = strings.Clone(name) // it may be a part of a large message
		t.list = append(t.list, name)
		i = uint32(len(t.list))
		t.numbers[name] = i
	}
	b = binary.AppendUvarint(b, uint64(i))
	if i == 0 {
		b = appendString(b, name)
	}
	return b
}

func (t *names) read(r *reader) string {
	if i := r.uvarint(); i != 0 {
		return t.list[i-1]
	}
	return string(r.bytes(int(r.uvarint())))
}
