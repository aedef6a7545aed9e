package wire

import "sort"

// Magic begins every Hello, so that a program that is not a worker is told
// apart from one that speaks another version.
const Magic = "serval-worker"

// Capabilities of a worker, a bit set in Hello.
const (
	// CapTokens: the worker keeps attribute values under tokens, so that
	// they need not be sent again. See Attr.
	CapTokens = 1 << 0
	// CapBinding: the application declares attribute types that are
	// BindingListeners; CapActivation: ActivationListeners.
	CapBinding    = 1 << 1
	CapActivation = 1 << 2
)

// Hello is a worker's first frame: what it speaks and what it offers.
type Hello struct {
	Min, Max     uint64 // protocol versions
	Program      string // name and version of the SDK, for the log
	Capabilities uint64
	// Concurrency is how many requests it takes at once; 0 is no limit.
	Concurrency uint64
	// Components, by kind; the names are those that the descriptor uses.
	Components []Component
}

// Component is something by name that an application offers.
type Component struct {
	Kind ComponentKind
	Name string
	// Traits are bits whose meaning the kind gives; for listeners the
	// interfaces that they implement.
	Traits uint64
}

// ComponentKind is the kind of a Component. On the wire: append only.
type ComponentKind uint8

// The kinds of components.
const (
	Servlet  ComponentKind = 1
	Filter   ComponentKind = 2
	Listener ComponentKind = 3
	Policy   ComponentKind = 4
)

// Append appends the message.
func (m *Hello) Append(b []byte) []byte {
	b = appendString(b, Magic)
	b = appendUint(appendUint(b, m.Min), m.Max)
	b = appendString(b, m.Program)
	b = appendUint(appendUint(b, m.Capabilities), m.Concurrency)
	b = appendUint(b, uint64(len(m.Components)))
	for _, c := range m.Components {
		b = appendUint(appendString(append(b, byte(c.Kind)), c.Name), c.Traits)
	}
	return b
}

// Decode reads the message. Bytes behind it are those of a later version.
func (m *Hello) Decode(p []byte) error {
	d := NewDecoder(p)
	if d.String() != Magic {
		d.fail("not a worker's greeting")
	}
	*m = Hello{Min: d.Uint(), Max: d.Uint(), Program: d.String(), Capabilities: d.Uint(), Concurrency: d.Uint()}
	for n := d.count(3); n > 0; n-- {
		m.Components = append(m.Components, Component{Kind: ComponentKind(d.Byte()), Name: d.String(), Traits: d.Uint()})
	}
	return d.Err()
}

// Welcome is the server's answer to Hello: the version to speak, and the
// application's context.
type Welcome struct {
	Version uint64
	Server  string // name and version, for the log
	// Window is the credit of each direction of a stream, in bytes.
	Window uint64
	// Path, AppVersion, Name, Params: see servlet.ContextConfig.
	Path, AppVersion, Name string
	Params                 map[string]string
	// Dir is the bundle's folder, "" if the worker has no access to it.
	Dir string
	// TempDir is a folder for the application's own files.
	TempDir string
	// MIME are the types of files, by extension without a dot.
	MIME map[string]string
	// SessionTimeout in milliseconds; 0 or less is never.
	SessionTimeout int64
	// Servlets are the names that the descriptor declares.
	Servlets []string
	// Rules are bits: the application's rules for session attributes.
	Rules uint64
}

// Bits of Welcome.Rules; see servlet.SessionRules.
const (
	RuleSetOnly          = 1 << 0
	RuleReportReads      = 1 << 1
	RuleUnencodableLocal = 1 << 2
	RuleReplicated       = 1 << 3
)

// Append appends the message.
func (m *Welcome) Append(b []byte) []byte {
	b = appendUint(b, m.Version)
	b = appendString(b, m.Server)
	b = appendUint(b, m.Window)
	b = appendString(appendString(appendString(b, m.Path), m.AppVersion), m.Name)
	b = appendMap(b, m.Params)
	b = appendString(appendString(b, m.Dir), m.TempDir)
	b = appendMap(b, m.MIME)
	b = appendInt(b, m.SessionTimeout)
	return appendUint(appendStrings(b, m.Servlets), m.Rules)
}

// Decode reads the message. Bytes behind it are those of a later version; an
// earlier one has no Rules.
func (m *Welcome) Decode(p []byte) error {
	d := NewDecoder(p)
	*m = Welcome{
		Version: d.Uint(), Server: d.String(), Window: d.Uint(),
		Path: d.String(), AppVersion: d.String(), Name: d.String(), Params: d.Map(),
		Dir: d.String(), TempDir: d.String(), MIME: d.Map(),
		SessionTimeout: d.Int(), Servlets: d.Strings(),
	}
	if len(d.Rest()) > 0 {
		m.Rules = d.Uint()
	}
	return d.Err()
}

// Log is a line for the application's log.
type Log struct {
	Level   int64 // as slog.Level
	Nanos   int64 // since 1970
	Message string
	Attrs   []string // keys and values, alternating
}

// Append appends the message.
func (m *Log) Append(b []byte) []byte {
	b = appendInt(appendInt(b, m.Level), m.Nanos)
	return appendStrings(appendString(b, m.Message), m.Attrs)
}

// Decode reads the message.
func (m *Log) Decode(p []byte) error {
	d := NewDecoder(p)
	*m = Log{Level: d.Int(), Nanos: d.Int(), Message: d.String(), Attrs: d.Strings()}
	if len(m.Attrs)%2 != 0 {
		d.fail("key without a value")
	}
	return d.finish()
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
