package membership

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// meta travels with a node's announcement as memberlist's metadata:
//
//	byte 0     version of this form, 1
//	byte 1     flags: 1 = the node is leaving
//	bytes 2-9  when the process started, Unix time in ms, big endian
//	byte 10…   length of the zone's name, then the name
//
// A later version may add bytes at the end, which are skipped here.
type meta struct {
	started time.Time // to the millisecond
	leaving bool
	zone    string
}

const (
	metaVersion = 1
	flagLeaving = 1
)

func (m meta) encode() []byte {
	b := []byte{metaVersion, 0}
	if m.leaving {
		b[1] |= flagLeaving
	}
	b = binary.BigEndian.AppendUint64(b, uint64(m.started.UnixMilli()))
	b = append(b, byte(len(m.zone)))
	return append(b, m.zone...)
}

func decodeMeta(b []byte) (m meta, err error) {
	if len(b) < 11 || len(b) < 11+int(b[10]) {
		return m, errors.New("the metadata are too short")
	}
	if b[0] < metaVersion {
		return m, fmt.Errorf("metadata of version %d", b[0])
	}
	m.leaving = b[1]&flagLeaving != 0
	m.started = time.UnixMilli(int64(binary.BigEndian.Uint64(b[2:])))
	m.zone = string(b[11 : 11+int(b[10])])
	if len(m.zone) > maxZone {
		return m, fmt.Errorf("the zone is longer than %d bytes", maxZone)
	}
	return m, nil
}

// mlName is the node's name in memberlist.
func (n Node) mlName() string { return fmt.Sprintf("%s#%08x", n.Name, n.ID) }

func parseName(s string) (name string, id uint32, err error) {
	name, hex, ok := strings.Cut(s, "#")
	v, perr := strconv.ParseUint(hex, 16, 32)
	if !ok || perr != nil || len(hex) != 8 || v == 0 || !validName.MatchString(name) {
		return "", 0, fmt.Errorf("%q is not a node's name and id", s)
	}
	return name, uint32(v), nil
}
