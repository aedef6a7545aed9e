package cluster

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/serval-server/serval/cluster/replica"
	"github.com/serval-server/serval/sessions"
)

// idBytes is the length of a session's id in the cluster: the decoded form, which
// takes three quarters of the room.
const idBytes = sessions.PlacementBytes + sessions.SecretBytes

var idEncoding = base64.RawURLEncoding.Strict()

// realID returns the id's bytes without its route; false if it is of a wrong form.
func realID(id sessions.ID) (replica.SessionID, bool) {
	var b [idBytes]byte
	id = id.Real()
	if len(id) != idEncoding.EncodedLen(idBytes) {
		return "", false
	}
	if n, err := idEncoding.Decode(b[:], []byte(id)); err != nil || n != idBytes {
		return "", false
	}
	return replica.SessionID(b[:]), true
}

// sessionID is the reverse of realID.
func sessionID(id replica.SessionID) sessions.ID {
	return sessions.ID(idEncoding.EncodeToString([]byte(id)))
}

// short is what of an id may be shown in a log: the placement, which is no secret.
func short(id replica.SessionID) string {
	return idEncoding.EncodeToString([]byte(id[:min(len(id), sessions.PlacementBytes)]))
}

// metaKey is the register that holds what is to be known of a session beside its
// attributes.
const metaKey = ""

// meta is the content of that register.
type meta struct {
	created time.Time // to the millisecond
	idle    time.Duration
	version string
}

// metaForm is the first byte of an encoded meta. What comes after its fields is
// for later versions, and skipped.
const metaForm = 1

func (m meta) encode() []byte { return m.append(make([]byte, 0, 24+len(m.version))) }

func (m meta) append(b []byte) []byte {
	b = append(b, metaForm)
	b = binary.AppendVarint(b, m.created.UnixMilli())
	b = binary.AppendVarint(b, int64(m.idle))
	b = binary.AppendUvarint(b, uint64(len(m.version)))
	return append(b, m.version...)
}

var errMeta = errors.New("cluster: a session's metadata do not decode")

func decodeMeta(b []byte) (m meta, err error) {
	if len(b) == 0 || b[0] != metaForm {
		return m, fmt.Errorf("%w: form %.1x", errMeta, b)
	}
	b = b[1:]
	created, n := binary.Varint(b)
	if n <= 0 {
		return m, fmt.Errorf("%w: time of creation", errMeta)
	}
	idle, k := binary.Varint(b[n:])
	if k <= 0 {
		return m, fmt.Errorf("%w: timeout", errMeta)
	}
	b = b[n+k:]
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return m, fmt.Errorf("%w: version", errMeta)
	}
	return meta{time.UnixMilli(created), time.Duration(idle), string(b[n : n+int(size)])}, nil
}

// metaOf reads the metadata of a copy. One without them has zero ones.
func metaOf(st *replica.State) meta {
	v, ok := st.Get(metaKey)
	if !ok {
		return meta{}
	}
	m, err := decodeMeta(v.Value.Bytes)
	if err != nil {
		return meta{}
	}
	return m
}

// idleOf is the timeout of a copy, for replica.Config: it reads only that. A copy
// without metadata has the default one.
func idleOf(st *replica.State) time.Duration {
	v, ok := st.Get(metaKey)
	if !ok || len(v.Value.Bytes) == 0 || v.Value.Bytes[0] != metaForm {
		return sessions.DefaultTimeout
	}
	b := v.Value.Bytes[1:]
	_, n := binary.Varint(b)
	if n <= 0 {
		return sessions.DefaultTimeout
	}
	idle, k := binary.Varint(b[n:])
	if k <= 0 {
		return sessions.DefaultTimeout
	}
	return time.Duration(idle)
}
