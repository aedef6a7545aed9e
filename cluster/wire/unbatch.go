package wire

import (
	"encoding/binary"

	"github.com/serval-server/serval/cluster/replica"
)

// Decoder reads the batches of one lane from one peer. It is not safe for
// concurrent use; the Encoder of the same lane may run at the same time.
type Decoder struct {
	lane lane
	acks *acks
	room room // of the copy that is lent
}

// Batch decodes one batch and calls f for each message, in order, with the
// number and shard of its application. Messages keep nothing of b, but those that
// are lent (replica.Copy), which are f's until it returns. An error of
// f ends the decoding and is returned. After any error the lane is out of step
// and the connection must be closed. What is wrong with b is an *Error.
func (d *Decoder) Batch(b []byte, f func(app uint32, shard uint8, m replica.Message) error) error {
	r := newReader(b)
	switch head := r.byte("batch"); {
	case r.err != nil:
	case head&versionMask < MinVersion || head&versionMask > Version || head&^(versionMask|flagZstd) != 0:
		r.fail("version of a batch", 0)
	case head&flagZstd != 0:
		raw, err := inflateBatch(&r)
		if err != nil {
			return err
		}
		defer putScratch(raw)
		r = newReader(*raw)
	}
	end := r.end
	for r.err == nil && r.off < end {
		at := r.off
		n := r.uvarint("length of a message")
		if n > uint64(end-r.off) {
			r.fail("length of a message", at)
			break
		}
		r.end = r.off + int(n)
		err := d.message(&r, f)
		if err != nil {
			return err
		}
		r.off, r.end = r.end, end
	}
	return r.err
}

// message decodes the message that is r's rest and calls f, unless something is
// wrong with it.
func (d *Decoder) message(r *reader, f func(uint32, uint8, replica.Message) error) error {
	first := r.byte("kind of a message")
	k, flags := kind(first&kindMask), first&^kindMask
	if r.err != nil || k == 0 || k >= kindEnd {
		return r.err // later versions may say more
	}
	if k == kindAcks {
		return d.ranges(r, flags, f)
	}
	if heads[k]&hasID == 0 {
		app, shard := d.place(r)
		m := other(r, k)
		if r.err != nil {
			return r.err
		}
		return f(app, shard, m)
	}
	key, entry := d.id(r)
	if r.err != nil {
		return r.err
	}
	var m replica.Message
	if k == kindUpdate {
		m = d.update(r, flags, key, entry)
	} else {
		m = d.session(r, k, flags, key, entry)
	}
	if r.err != nil {
		return r.err
	}
	return f(key.app, key.shard, m)
}

func (d *Decoder) place(r *reader) (app uint32, shard uint8) {
	at := r.off
	v := r.uvarint("shard")
	if v>>1 > 0xff {
		r.fail("shard", at)
		return 0, 0
	}
	if v&1 != 0 {
		if b := r.take(4, "number of an application"); b != nil {
			d.lane.app = binary.LittleEndian.Uint32(b)
		}
	}
	return d.lane.app, uint8(v >> 1)
}

// id reads which session a message is about. The entry is nil if the session has
// none.
func (d *Decoder) id(r *reader) (idKey, *known) {
	at := r.off
	var key idKey
	form := r.uvarint("session")
	switch form {
	case idNew, idInline:
		if raw := r.take(idBytes, "session id"); raw != nil {
			key.id = unpackID(raw)
		}
	case idNewText, idInlineText:
		text := r.sized("session id")
		if len(text) > maxID {
			r.fail("session id", at)
		}
		key.id = replica.SessionID(text)
	default:
		if form-idRefs >= uint64(len(d.lane.ids.list)) {
			r.fail("number of a session", at)
			return key, nil
		}
		entry := d.lane.ids.use(int(form - idRefs))
		return entry.key, entry
	}
	key.app, key.shard = d.place(r)
	if r.err != nil || form == idInline || form == idInlineText {
		return key, nil
	}
	i, _, _ := d.lane.ids.add(known{key: key}, maxIDs)
	return key, &d.lane.ids.list[i].value
}

func (d *Decoder) name(r *reader) string {
	at := r.off
	switch ref := r.uvarint("name"); ref {
	case nameNew:
		name := r.sized("name")
		if len(name) >= maxName {
			r.fail("name", at)
			return ""
		}
		s := string(name)
		d.lane.names.add(s, maxNames)
		return s
	case nameInline:
		return r.string("name")
	default:
		if ref-nameRefs >= uint64(len(d.lane.names.list)) {
			r.fail("number of a name", at)
			return ""
		}
		return *d.lane.names.use(int(ref - nameRefs))
	}
}

// receive numbers a message that can be acknowledged.
func (a *acks) receive(n numbered) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.got.push(n)
}

// small is an Update with room for what most have, so that one allocation makes
// both.
type small struct {
	update replica.Update
	op     [1]replica.Op
	base   [1]replica.Dot
}

func (d *Decoder) update(r *reader, flags byte, key idKey, entry *known) *replica.Update {
	s := &small{}
	m := &s.update
	m.Delta.ID = key.id
	m.Delta.Dot = r.dot(d.lane.from(entry))
	if flags&flagReign != 0 {
		m.Reign = reignOf(entry, m.Delta.Dot)
	} else {
		m.Reign = r.reign()
	}
	if flags&flagBase != 0 {
		if entry == nil || entry.last.IsZero() {
			r.fail("base of an update", r.off)
			return nil
		}
		s.base[0] = entry.last
		m.Delta.Base = s.base[:]
	} else {
		m.Delta.Base = r.dots(nil, m.Delta.Dot)
	}
	d.lane.updated(entry, m.Reign, m.Delta.Dot)
	if n := r.count(2, "number of changes"); n == 1 {
		m.Delta.Ops = s.op[:]
	} else if n > 1 {
		m.Delta.Ops = make([]replica.Op, n)
	}
	for i := range m.Delta.Ops {
		d.op(r, &m.Delta.Ops[i])
	}
	if flags&flagMore != 0 {
		m.Delta.Life = r.life(m.Delta.Dot)
		m.Sets = r.sets()
		if r.bool("presence of a successor") {
			m.Successor = r.state(r.id(), m.Reign)
		}
	}
	if r.err == nil {
		d.acks.receive(numbered{id: key.id, app: key.app, kind: m.Delta.Life.Kind, reign: m.Reign, dot: m.Delta.Dot})
	}
	return m
}

func (d *Decoder) op(r *reader, op *replica.Op) {
	op.Key = d.name(r)
	at := r.off
	switch f, data := r.form(); f {
	case formRemove:
		op.Remove = true
		if len(data) > 0 {
			r.fail("value of a removal", at)
		}
	case formPatch:
		op.Patch = append(make([]byte, 0, len(data)), data...)
	default:
		op.Value = r.value(f, data, at)
	}
}

// session decodes a message about a session that is no Update.
func (d *Decoder) session(r *reader, k kind, flags byte, key idKey, entry *known) replica.Message {
	var reign replica.Reign
	if heads[k]&hasReign != 0 {
		switch {
		case flags&flagReign == 0:
			reign = r.reign()
		case entry == nil:
			r.fail("reign of a session that is not known", r.off)
		default:
			reign = entry.reign
		}
		if entry != nil {
			entry.reign = reign
		}
	}
	if flags&flagPacked == 0 {
		return d.body(r, k, key, entry, reign)
	}
	at := r.off
	in := newReader(r.unpack(r.take(uint64(r.left()), "body"), at))
	m := d.body(&in, k, key, entry, reign)
	if in.err != nil {
		r.fail("compressed body", at)
	}
	return m
}

// body decodes what follows a message's session and reign.
func (d *Decoder) body(r *reader, k kind, key idKey, entry *known, reign replica.Reign) replica.Message {
	switch k {
	case kindCopy:
		c := replica.Copy{Reign: reign, Idle: r.age(), Sets: r.sets(), Lent: true}
		r.room = d.room.empty()
		c.State = r.state(key.id, reign)
		r.room = nil
		if r.err == nil {
			dot, life := foreseen(c.State)
			d.acks.receive(numbered{id: key.id, app: key.app, kind: life, reign: reign, dot: dot})
			if entry != nil && life == replica.Live && !dot.IsZero() {
				entry.last = dot
			}
		}
		return c
	case kindPromise:
		p := replica.Promise{ID: key.id, Reign: reign, Idle: r.age(), Sets: r.sets(), Alive: r.uint32("node")}
		has := r.byte("contents of a promise")
		p.Same = has&promiseSame != 0
		if has&promiseState != 0 {
			p.State = r.state(key.id, reign)
		}
		return p
	case kindGrant:
		return replica.Grant{Reign: reign, Idle: r.age(), Sets: r.sets(), State: r.state(key.id, reign)}
	}
	return short(r, k, key.id, reign)
}

// short decodes a message without a copy.
func short(r *reader, k kind, id replica.SessionID, reign replica.Reign) replica.Message {
	switch k {
	case kindTouch:
		return replica.Touch{ID: id, Reign: reign}
	case kindAck:
		return replica.Ack{ID: id, Reign: reign, Dot: r.dot(dotOf(reign)), Sum: r.uint64("fingerprint")}
	case kindFenced:
		return replica.Fenced{ID: id, Reign: reign}
	case kindNeed:
		return replica.Need{ID: id}
	case kindClaim:
		return replica.Claim{ID: id, Reign: reign, Nodes: r.nodes(), Former: r.uint32("node"), Sum: r.uint64("fingerprint")}
	case kindAsk:
		return replica.Ask{ID: id}
	case kindWhoHas:
		return replica.WhoHas{ID: id}
	case kindHas:
		return replica.Has{ID: id, Reign: reign}
	default: // kindRelease
		return replica.Release{ID: id, Reign: reign, Heads: r.dots(nil, dotOf(reign))}
	}
}

// other decodes a message that is not about one session.
func other(r *reader, k kind) replica.Message {
	switch k {
	case kindHomes:
		return replica.Homes{Entries: r.homes()}
	case kindDigest:
		return r.digest()
	case kindListing:
		return r.listing()
	default: // kindLevel
		return replica.Level{Ask: r.bool("level")}
	}
}

// ranges decodes acknowledgements by number and calls f for each of them.
func (d *Decoder) ranges(r *reader, flags byte, f func(uint32, uint8, replica.Message) error) error {
	deliver := func(n numbered) error { return f(n.app, n.shard, n.ack()) }
	if flags&flagRun != 0 {
		n := uint64(1)
		if r.left() > 0 {
			n += r.uvarint("length of a range")
		}
		if r.err != nil {
			return r.err
		}
		start := d.lane.acked
		d.lane.acked += n
		return d.acks.acknowledged(start, n, deliver)
	}
	for r.left() > 0 {
		start := d.lane.acked + uint64(unzigzag(r.uvarint("start of a range")))
		n := r.uvarint("length of a range") + 1
		if r.err != nil {
			return r.err
		}
		d.lane.acked = start + n
		if err := d.acks.acknowledged(start, n, deliver); err != nil {
			return err
		}
	}
	return nil
}
