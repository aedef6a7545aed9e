package servlet

import (
	"bytes"
	"encoding"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// The encoding of session attributes: CBOR, core deterministic (RFC 8949
// §4.2.1), so that equal values have equal bytes. Times are RFC 3339 text with
// nanoseconds, tagged; a struct is a map by its fields' names (or `cbor` or
// `json` tags), so that fields can come and go between versions of a program.
var (
	encMode = mustEnc()
	decMode = mustDec()
)

// maxNesting is how deep values may be nested.
const maxNesting = 64

func mustEnc() cbor.EncMode {
	o := cbor.CoreDetEncOptions()
	o.Time, o.TimeTag = cbor.TimeRFC3339NanoUTC, cbor.EncTagRequired
	m, err := o.EncMode()
	if err != nil {
		panic(fmt.Sprintf("servlet: cbor encoding options: %v", err))
	}
	return m
}

func mustDec() cbor.DecMode {
	o := cbor.DecOptions{
		MaxNestedLevels:  maxNesting,
		MaxArrayElements: 1 << 24,
		MaxMapPairs:      1 << 24,
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
		IndefLength:      cbor.IndefLengthForbidden,
		DefaultMapType:   reflect.TypeFor[map[string]any](),
		IntDec:           cbor.IntDecConvertSignedOrBigInt,
		UTF8:             cbor.UTF8DecodeInvalid, // a Go string may hold any bytes
	}
	m, err := o.DecMode()
	if err != nil {
		panic(fmt.Sprintf("servlet: cbor decoding options: %v", err))
	}
	return m
}

// Encode is the form in which a value is kept as a session attribute:
// deterministic CBOR.
func Encode(value any) ([]byte, error) { return encode(value) }

// Decode reads what Encode has written into the value that into points to.
func Decode(data []byte, into any) error { return decMode.Unmarshal(data, into) }

// encode also turns a panic of a value's own marshaller into an error.
func encode(value any) (b []byte, err error) {
	if b, ok := encodeScalar(value); ok {
		return b, nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("encoding a %T panicked: %v", value, p)
		}
	}()
	if value != nil && !typeOfValue(value).safe && tooDeep(reflect.ValueOf(value), 0) {
		return nil, fmt.Errorf("cannot encode a %T: it is nested more than %d levels deep, or holds itself", value, maxNesting)
	}
	if b, err = encMode.Marshal(value); err != nil {
		return nil, fmt.Errorf("cannot encode a %T: %w", value, err)
	}
	if !timesFit(b) {
		return nil, fmt.Errorf("cannot encode a %T: it has a time outside of the years 0 to 9999", value)
	}
	return b, nil
}

// timesFit reports that the times in an encoding can be read again: RFC 3339
// has four digits for the year, which the encoder does not look at. The items
// of definite length stand one behind the other, so no nesting is followed.
func timesFit(b []byte) bool {
	const dateTime, text = 0xc0, 3 // tag 0 (RFC 8949 §3.4.1); a major type
	if bytes.IndexByte(b, dateTime) < 0 {
		return true
	}
	for tagged := false; len(b) > 0; {
		first, major := b[0], b[0]>>5
		n, head := uint64(first&0x1f), 1
		if n >= 24 && n <= 27 {
			size := 1 << (n - 24)
			n, head = 0, 1+size
			for _, c := range b[1:min(head, len(b))] {
				n = n<<8 | uint64(c)
			}
		}
		b = b[min(head, len(b)):]
		if major == 2 || major == text {
			if tagged && (len(b) < 5 || b[4] != '-') {
				return false
			}
			b = b[min(n, uint64(len(b))):]
		}
		tagged = first == dateTime
	}
	return true
}

func decodeAs[T any](data []byte) (T, error) {
	var v T
	if decodeScalar(data, &v) {
		return v, nil
	}
	return decodeGeneral[T](data)
}

// decodeGeneral has a value of its own, which the decoder has the heap hold; that
// of decodeAs needs none.
func decodeGeneral[T any](data []byte) (T, error) {
	var v T
	if err := decMode.Unmarshal(data, &v); err != nil {
		return v, fmt.Errorf("cannot decode as %T: %w", v, err)
	}
	return v, nil
}

// tooDeep reports that a value is nested too deep to be decoded again. The
// encoder would follow a value that holds itself until the stack overflows,
// which would end the process.
func tooDeep(v reflect.Value, depth int) bool {
	if depth > 2*maxNesting { // each level may have a pointer to it
		return true
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return !v.IsNil() && tooDeep(v.Elem(), depth+1)
	case reflect.Struct:
		for i := range v.NumField() {
			if tooDeep(v.Field(i), depth+1) {
				return true
			}
		}
	case reflect.Slice, reflect.Array:
		if infoOf(v.Type().Elem()).safe {
			return false
		}
		for i := range v.Len() {
			if tooDeep(v.Index(i), depth+1) {
				return true
			}
		}
	case reflect.Map:
		if infoOf(v.Type().Elem()).safe {
			return false
		}
		for it := v.MapRange(); it.Next(); {
			if tooDeep(it.Value(), depth+1) {
				return true
			}
		}
	}
	return false
}

// typeInfo is what is known of a type that attributes have.
type typeInfo struct {
	typ     reflect.Type
	iface   bool // an interface: the value's own type counts
	mutable bool // a copy of a value shares something with it
	safe    bool // every value can be encoded, so that encoding can wait
	listens bool // a value is a BindingListener or an ActivationListener
	active  bool // a value is an ActivationListener
	plain   bool // int, int64 or bool: see entry.held
}

var typeInfos sync.Map // reflect.Type → *typeInfo

// What is known of the types of most attributes is found without a table.
var (
	intInfo    = infoOf(reflect.TypeFor[int]())
	stringInfo = infoOf(reflect.TypeFor[string]())
)

func typeOf[T any]() *typeInfo {
	switch any((*T)(nil)).(type) {
	case *int:
		return intInfo
	case *string:
		return stringInfo
	}
	return infoOf(reflect.TypeFor[T]())
}

func typeOfValue(v any) *typeInfo { return infoOf(reflect.TypeOf(v)) }

func infoOf(t reflect.Type) *typeInfo {
	if i, ok := typeInfos.Load(t); ok {
		return i.(*typeInfo)
	}
	i := &typeInfo{
		typ:     t,
		iface:   t.Kind() == reflect.Interface,
		mutable: mutable(t, 0),
		safe:    safe(t, nil),
		active:  implements[ActivationListener](t),
		plain:   t == reflect.TypeFor[int]() || t == reflect.TypeFor[int64]() || t == reflect.TypeFor[bool](),
	}
	i.listens = i.active || implements[BindingListener](t)
	typeInfos.Store(t, i)
	return i
}

func implements[L any](t reflect.Type) bool {
	l := reflect.TypeFor[L]()
	return t.Implements(l) || t.Kind() != reflect.Pointer && reflect.PointerTo(t).Implements(l)
}

// recode decodes data as the type and encodes it again.
func (i *typeInfo) recode(data []byte) ([]byte, error) {
	v := reflect.New(i.typ)
	if err := decMode.Unmarshal(data, v.Interface()); err != nil {
		return nil, err
	}
	return encode(v.Elem().Interface())
}

var timeType = reflect.TypeFor[time.Time]()

// mutable reports that a copy of a value of the type shares something with it.
func mutable(t reflect.Type, depth int) bool {
	if t == timeType {
		return false
	}
	switch t.Kind() {
	case reflect.Bool, reflect.String, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64,
		reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128:
		return false
	case reflect.Array:
		return mutable(t.Elem(), depth+1)
	case reflect.Struct:
		for i := range t.NumField() {
			if depth > 16 || mutable(t.Field(i).Type, depth+1) {
				return true
			}
		}
		return false
	default:
		return true
	}
}

var marshalers = []reflect.Type{
	reflect.TypeFor[cbor.Marshaler](),
	reflect.TypeFor[encoding.BinaryMarshaler](),
	reflect.TypeFor[encoding.TextMarshaler](),
}

// safe reports that every value of the type can be encoded: it has no
// interface, function or channel in it, no method of its own that encodes, and
// cannot hold itself.
func safe(t reflect.Type, path []reflect.Type) bool {
	if t == timeType {
		return true
	}
	for _, p := range path {
		if p == t {
			return false
		}
	}
	for _, m := range marshalers {
		if t.Implements(m) || reflect.PointerTo(t).Implements(m) {
			return false
		}
	}
	path = append(path, t)
	switch t.Kind() {
	case reflect.Bool, reflect.String, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Float32, reflect.Float64:
		return true
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return safe(t.Elem(), path)
	case reflect.Map:
		return safe(t.Key(), path) && safe(t.Elem(), path)
	case reflect.Struct:
		for i := range t.NumField() {
			if !safe(t.Field(i).Type, path) {
				return false
			}
		}
		return true
	default:
		return false
	}
}

// isNil reports what Set takes for no value: nil, or a nil pointer. An empty
// list or map is a value.
func isNil(v any) bool {
	if v == nil {
		return true
	}
	rv := reflect.ValueOf(v)
	return rv.Kind() == reflect.Pointer && rv.IsNil()
}

// typeMemory knows, by an attribute's name, the type that this process last met
// it with. Values that listen (BindingListener, ActivationListener) are decoded
// as that type when the server tells of their session.
type typeMemory struct {
	types  sync.Map    // string → *typeInfo
	warned sync.Map    // reflect.Type → struct{}
	listen atomic.Bool // some of the types listen
	active atomic.Bool // some of the types are ActivationListeners
}

// warnOnce says, once per type, that values of it stay on this node.
func (m *typeMemory) warnOnce(c *Context, name string, value any, why error) {
	if _, again := m.warned.LoadOrStore(reflect.TypeOf(value), struct{}{}); !again {
		c.cfg.Logger.Warn("session attribute cannot be encoded and stays on this node", "attribute", name, "type", fmt.Sprintf("%T", value), "error", why)
	}
}

func (m *typeMemory) remember(name string, info *typeInfo) {
	if old, ok := m.types.Load(name); !ok || old != info {
		m.types.Store(name, info)
		if info.listens {
			m.listen.Store(true)
		}
		if info.active {
			m.active.Store(true)
		}
	}
}

// decode reads an attribute as the type it was last met with, or else without
// one. It is nil if the bytes are not what they should be.
func (m *typeMemory) decode(name string, data []byte) any {
	if i, ok := m.types.Load(name); ok {
		v := reflect.New(i.(*typeInfo).typ)
		if decMode.Unmarshal(data, v.Interface()) == nil {
			return v.Elem().Interface()
		}
	}
	var v any
	if decMode.Unmarshal(data, &v) != nil {
		return nil
	}
	return v
}
