package wire

// InitOp is what an Init asks for. On the wire: append only.
type InitOp uint8

// The initialisations, in the order in which the server asks for them. Each is
// answered with an End, which carries a Failure if it went wrong.
const (
	// InitContext names the listeners in their order and the policy, and
	// has the context listeners told.
	InitContext InitOp = 1
	// InitFilter and InitServlet make one component.
	InitFilter  InitOp = 2
	InitServlet InitOp = 3
	// InitSegment puts a part of the chain together, to be used by number.
	InitSegment InitOp = 4
	// InitDestroy destroys servlets, filters and listeners. It is the last.
	InitDestroy InitOp = 5
)

// Init has the worker initialise something.
type Init struct {
	Op InitOp
	// Listeners and Policy are those of InitContext.
	Listeners []string
	Policy    string
	// Name, Class, Params and Multipart are those of InitFilter and
	// InitServlet; see servlet.Definition.
	Name, Class string
	Params      map[string]string
	Multipart   *Multipart
	// Segment, Filters and Servlet ("" if the container has what comes
	// next) are those of InitSegment.
	Segment uint32
	Filters []string
	Servlet string
}

// Multipart is a servlet's multipart-config; see servlet.MultipartConfig.
type Multipart struct {
	Location                                       string
	MaxFileSize, MaxRequestSize, FileSizeThreshold int64
}

// Append appends the message.
func (m *Init) Append(b []byte) []byte {
	b = append(b, byte(m.Op))
	switch m.Op {
	case InitContext:
		b = appendString(appendStrings(b, m.Listeners), m.Policy)
	case InitFilter, InitServlet:
		b = appendMap(appendString(appendString(b, m.Name), m.Class), m.Params)
		b = appendBool(b, m.Multipart != nil)
		if c := m.Multipart; c != nil {
			b = appendInt(appendInt(appendInt(appendString(b, c.Location), c.MaxFileSize), c.MaxRequestSize), c.FileSizeThreshold)
		}
	case InitSegment:
		b = appendString(appendStrings(appendUint(b, uint64(m.Segment)), m.Filters), m.Servlet)
	}
	return b
}

// Decode reads the message.
func (m *Init) Decode(p []byte) error {
	d := NewDecoder(p)
	*m = Init{Op: InitOp(d.Byte())}
	switch m.Op {
	case InitContext:
		m.Listeners, m.Policy = d.Strings(), d.String()
	case InitFilter, InitServlet:
		m.Name, m.Class, m.Params = d.String(), d.String(), d.Map()
		if d.Bool() {
			m.Multipart = &Multipart{Location: d.String(), MaxFileSize: d.Int(), MaxRequestSize: d.Int(), FileSizeThreshold: d.Int()}
		}
	case InitSegment:
		m.Segment, m.Filters, m.Servlet = d.Uint32(), d.Strings(), d.String()
	case InitDestroy:
	default:
		d.fail("unknown initialisation")
	}
	return d.finish()
}
