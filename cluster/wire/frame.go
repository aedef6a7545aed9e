package wire

import "time"

// Frame is what nodes tell each other beside the batches, on the control stream
// of a connection: one of the frame types of this package.
type Frame interface {
	frameType() frameType
	appendPayload([]byte) []byte
}

// frameType is a frame's first byte. Append only: golden bytes are kept.
type frameType uint8

const (
	frameHello frameType = iota + 1
	frameApps
	frameCache
	frameSwitch
	frameCredit
	frameBatchAck
	framePing
	framePong
	frameLeaving
	frameStatusQuery
	frameStatus
)

// The versions of the format that this package speaks.
const (
	Version    = 1 // what it writes if the peer can read it
	MinVersion = 1 // the oldest that it can write and read
)

// Hello is the first frame on each connection, in both directions.
type Hello struct {
	MinVersion, MaxVersion uint16 // of the format; see Negotiate
	Node                   uint32 // the sender's incarnation (replica.NodeID), not zero
	Cluster                string // name of the cluster; others are refused
	Name, Zone             string // as in [cluster]
	Build                  string // the server's version, for people
	Lanes                  uint8  // how many lanes the sender opens; 1 or more
	Bulk                   bool   // this connection is for state transfer
	MaxBatch               uint32 // the longest batch that the sender accepts, in bytes
}

// App is an application that the sender has open for replication.
type App struct {
	Number   uint32 // AppNumber(Key)
	Key      string // host and context path
	Cache    string // name of its cache
	Versions []string
	Level    bool // the sender has all that it should have of it
	On       bool // replication is switched on
	// Run is the number in the protocol (replica.NodeID) of the sender's run of it,
	// 0 if it is the number of its Hello: it has been deployed anew in one process.
	// Messages go by it, see docs/replication-wire.md.
	Run uint32
}

// Apps are all applications that the sender has open, in place of what it said
// before.
type Apps struct{ Apps []App }

// Cache tells the settings of a cache that were changed while the cluster runs.
// Of two, the one with the higher epoch holds, then the one of the higher By.
type Cache struct {
	Name        string
	Epoch       uint64
	By          uint32 // the node on which it was changed
	Mode        string // REPL, DIST
	Owners      uint32
	Ack         string        // none, one, quorum, all
	AckTimeout  time.Duration // rounded to milliseconds
	OnTimeout   string        // degrade, fail
	Misroute    string        // forward, claim
	Consistency string        // available, strict
}

// Switch turns the replication of an application on or off, in the whole
// cluster. Epoch and By are as in Cache.
type Switch struct {
	App   string // the application's key; "" is all of them
	Epoch uint64
	By    uint32
	On    bool
}

// Credit lets the receiver send that many more bytes of batches on this
// connection.
type Credit struct{ Bytes uint64 }

// BatchAck says that the sender has processed that many batches of the lane, of
// this connection, in all.
type BatchAck struct {
	Lane    uint8
	Batches uint64
}

// Ping asks for a Pong with the same number.
type Ping struct{ Seq uint64 }

// Pong answers a Ping.
type Pong struct{ Seq uint64 }

// Leaving says that the sender is about to leave the cluster on purpose.
type Leaving struct{ Reason string }

// StatusQuery asks for a Status with the same number.
type StatusQuery struct{ Seq uint64 }

// Status answers a StatusQuery; Body is JSON.
type Status struct {
	Seq  uint64
	Body []byte
}

func (Hello) frameType() frameType       { return frameHello }
func (Apps) frameType() frameType        { return frameApps }
func (Cache) frameType() frameType       { return frameCache }
func (Switch) frameType() frameType      { return frameSwitch }
func (Credit) frameType() frameType      { return frameCredit }
func (BatchAck) frameType() frameType    { return frameBatchAck }
func (Ping) frameType() frameType        { return framePing }
func (Pong) frameType() frameType        { return framePong }
func (Leaving) frameType() frameType     { return frameLeaving }
func (StatusQuery) frameType() frameType { return frameStatusQuery }
func (Status) frameType() frameType      { return frameStatus }
