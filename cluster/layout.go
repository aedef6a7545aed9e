package cluster

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
	"strings"

	"github.com/serval-server/serval/cluster/replica"
	"github.com/serval-server/serval/descriptor"
	"github.com/serval-server/serval/sessions"
)

// The registers of a session, by the first byte of their keys:
//
//	""                        metadata
//	"a" with Value.Map        all attributes (granularity SESSION)
//	"a" + name                an attribute
//	"f" + len + name          marks an attribute whose fields have registers
//	"f" + len + name + field  a field: its key and its value are encoded CBOR
//
// A copy may hold any mixture of them: two versions of an application with other
// granularities may have written the two sides of a partition. So reading takes
// what there is, and of two forms of an attribute the later; writing brings the
// session into the writer's form.
const (
	mapKey      = "a"
	attrPrefix  = "a"
	fieldPrefix = "f"
)

func attrKey(name string) string { return attrPrefix + name }

// fieldMark is the key of the mark, and what the keys of the fields begin with.
func fieldMark(name string) string {
	b := make([]byte, 0, 4+len(name))
	b = append(b, fieldPrefix...)
	b = binary.AppendUvarint(b, uint64(len(name)))
	return string(append(b, name...))
}

// parseField takes the key of a field or of a mark apart; field is "" for a mark.
func parseField(key string) (name, field string, ok bool) {
	if !strings.HasPrefix(key, fieldPrefix) {
		return "", "", false
	}
	rest := key[len(fieldPrefix):]
	var head [binary.MaxVarintLen64]byte
	size, n := binary.Uvarint(head[:copy(head[:], rest)])
	if n <= 0 || size > uint64(len(rest)-n) {
		return "", "", false
	}
	rest = rest[n:]
	return rest[:size], rest[size:], true
}

// attributes puts together the attributes of a copy, sorted by name.
func attributes(st *replica.State) []sessions.Attribute {
	if len(st.Registers) <= 2 { // metadata and one map: the common case
		if v, ok := st.Get(mapKey); ok && v.Value.Map != nil {
			return appendMap(make([]sessions.Attribute, 0, len(v.Value.Map)), v)
		}
	}
	var out []sessions.Attribute
	regs := st.Registers
	for len(regs) > 0 {
		r := &regs[0]
		v := r.Versions[0]
		switch {
		case r.Key == metaKey:
		case r.Key == mapKey && v.Value.Map != nil:
			out = appendMap(out, v)
		case strings.HasPrefix(r.Key, attrPrefix):
			out = append(out, sessions.Attribute{Name: r.Key[len(attrPrefix):], Value: v.Value.Bytes, Dot: sessions.Dot(v.Dot)})
		default:
			var a sessions.Attribute
			var ok bool
			if a, regs, ok = joinRegisters(regs); ok {
				out = append(out, a)
			}
			continue
		}
		regs = regs[1:]
	}
	slices.SortFunc(out, func(a, b sessions.Attribute) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), b.Dot.Compare(a.Dot))
	})
	return slices.CompactFunc(out, func(a, b sessions.Attribute) bool { return a.Name == b.Name })
}

func appendMap(out []sessions.Attribute, v replica.Version) []sessions.Attribute {
	from := len(out)
	for name, value := range v.Value.Map {
		out = append(out, sessions.Attribute{Name: name, Value: value, Dot: sessions.Dot(v.Dot)})
	}
	slices.SortFunc(out[from:], func(a, b sessions.Attribute) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// joinRegisters puts the attribute together that the first register is the mark or
// a field of, and returns the registers after it. Fields without a mark are what
// is left of an attribute that was removed while another node changed it.
func joinRegisters(regs []replica.Register) (a sessions.Attribute, rest []replica.Register, ok bool) {
	name, _, valid := parseField(regs[0].Key)
	if !valid {
		return a, regs[1:], false // a later version's
	}
	var fields []field
	var dot replica.Dot
	for len(regs) > 0 {
		n, f, valid := parseField(regs[0].Key)
		if !valid || n != name {
			break
		}
		v := regs[0].Versions[0]
		dot = replica.MaxDot(dot, v.Dot)
		if f == "" {
			ok = true
		} else {
			fields = append(fields, field{[]byte(f), v.Value.Bytes})
		}
		regs = regs[1:]
	}
	return sessions.Attribute{Name: name, Value: joinFields(fields), Dot: sessions.Dot(dot)}, regs, ok
}

// change is what a commit does to a session's attributes.
type change struct {
	set     []sessions.Attribute // each name once
	removed []string
}

// writer makes operations of changes, in the form of one granularity.
type writer struct {
	granularity descriptor.ReplicationGranularity
	st          *replica.State // what the session is before; may be nil
	ops         []replica.Op
}

// operations are what brings the change about. m is the caller's.
func operations(g descriptor.ReplicationGranularity, st *replica.State, m []byte, c change) []replica.Op {
	w := &writer{granularity: g, st: st, ops: make([]replica.Op, 0, 1+len(c.set)+len(c.removed))}
	if old, ok := w.get(metaKey); !ok || !bytes.Equal(old.Bytes, m) {
		w.put(metaKey, replica.Value{Bytes: bytes.Clone(m)})
	}
	if len(c.set) == 0 && len(c.removed) == 0 {
		return w.ops
	}
	if g == descriptor.GranularitySession {
		w.session(c)
		return w.ops
	}
	if old, ok := w.get(mapKey); ok && old.Map != nil {
		w.explode(c)
		return w.ops
	}
	for i := range c.set {
		w.attribute(c.set[i].Name, c.set[i].Value)
	}
	for _, name := range c.removed {
		w.remove(attrKey(name))
		w.removeFields(name)
	}
	return w.ops
}

func (w *writer) get(key string) (replica.Value, bool) {
	if w.st == nil {
		return replica.Value{}, false
	}
	v, ok := w.st.Get(key)
	return v.Value, ok
}

func (w *writer) put(key string, v replica.Value) {
	w.ops = append(w.ops, replica.Op{Key: key, Value: v})
}

// remove removes a register, if there is one.
func (w *writer) remove(key string) {
	if _, ok := w.get(key); ok {
		w.ops = append(w.ops, replica.Op{Key: key, Remove: true})
	}
}

// session writes the whole map anew, with the changes. The wire sends only what
// differs.
func (w *writer) session(c change) {
	old, ok := w.get(mapKey)
	whole := maps.Clone(old.Map)
	if !ok || old.Map == nil || len(w.st.Registers) > 2 {
		whole = w.all()
		w.clear(mapKey)
	}
	if whole == nil {
		whole = make(map[string][]byte, len(c.set))
	}
	c.apply(whole)
	w.put(mapKey, replica.Value{Map: whole})
}

func (c change) apply(to map[string][]byte) {
	for i := range c.set {
		to[c.set[i].Name] = c.set[i].Value
	}
	for _, name := range c.removed {
		delete(to, name)
	}
}

// all are the attributes as they are, whatever their form.
func (w *writer) all() map[string][]byte {
	if w.st == nil {
		return nil
	}
	out := map[string][]byte{}
	for _, a := range attributes(w.st) {
		out[a.Name] = a.Value
	}
	return out
}

// clear removes all registers but the metadata and one that is written anyway.
func (w *writer) clear(but string) {
	if w.st == nil {
		return
	}
	for i := range w.st.Registers {
		if key := w.st.Registers[i].Key; key != metaKey && key != but {
			w.ops = append(w.ops, replica.Op{Key: key, Remove: true})
		}
	}
}

// explode takes a map of granularity SESSION apart.
func (w *writer) explode(c change) {
	whole := w.all()
	c.apply(whole)
	w.clear("")
	w.st = nil // nothing is left of it
	for _, name := range slices.Sorted(maps.Keys(whole)) {
		w.attribute(name, whole[name])
	}
	w.ops = lastOps(w.ops)
}

// lastOps keeps the last operation of each register: one delta has one for each.
func lastOps(ops []replica.Op) []replica.Op {
	last := make(map[string]int, len(ops))
	for i := range ops {
		last[ops[i].Key] = i
	}
	out := ops[:0]
	for i := range ops {
		if last[ops[i].Key] == i {
			out = append(out, ops[i])
		}
	}
	return out
}

// attribute writes one attribute, whole or by its fields.
func (w *writer) attribute(name string, value []byte) {
	if w.granularity == descriptor.GranularityField {
		if fields, ok := splitFields(value); ok {
			w.fields(name, fields)
			return
		}
	}
	w.removeFields(name)
	w.put(attrKey(name), replica.Value{Bytes: value})
}

// fields writes the fields that differ, and removes those that are gone.
func (w *writer) fields(name string, fields []field) {
	w.remove(attrKey(name))
	mark := fieldMark(name)
	if _, ok := w.get(mark); !ok {
		w.put(mark, replica.Value{Bytes: []byte{metaForm}})
	}
	old := w.fieldRegisters(mark)
	for _, f := range fields {
		for len(old) > 0 && old[0].Key[len(mark):] < string(f.key) {
			w.ops = append(w.ops, replica.Op{Key: old[0].Key, Remove: true})
			old = old[1:]
		}
		if len(old) > 0 && old[0].Key[len(mark):] == string(f.key) {
			same := len(old[0].Versions) == 1 && bytes.Equal(old[0].Versions[0].Value.Bytes, f.value)
			old = old[1:]
			if same {
				continue
			}
		}
		w.put(mark+string(f.key), replica.Value{Bytes: f.value})
	}
	for i := range old {
		w.ops = append(w.ops, replica.Op{Key: old[i].Key, Remove: true})
	}
}

// removeFields removes an attribute's mark and fields.
func (w *writer) removeFields(name string) {
	if !w.hasFields() {
		return
	}
	mark := fieldMark(name)
	w.remove(mark)
	for _, r := range w.fieldRegisters(mark) {
		w.ops = append(w.ops, replica.Op{Key: r.Key, Remove: true})
	}
}

// hasFields reports that some attribute may be kept by its fields: no keys of this
// version come after theirs.
func (w *writer) hasFields() bool {
	return w.st != nil && len(w.st.Registers) > 0 && w.st.Registers[len(w.st.Registers)-1].Key >= fieldPrefix
}

// fieldRegisters are the registers of the fields of an attribute with this mark, by
// key.
func (w *writer) fieldRegisters(mark string) []replica.Register {
	if !w.hasFields() {
		return nil
	}
	from, ok := slices.BinarySearchFunc(w.st.Registers, mark, func(r replica.Register, k string) int { return cmp.Compare(r.Key, k) })
	if ok {
		from++
	}
	to := from
	for to < len(w.st.Registers) && strings.HasPrefix(w.st.Registers[to].Key, mark) {
		to++
	}
	return w.st.Registers[from:to]
}
