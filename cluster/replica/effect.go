package replica

// Effect is something the caller must do.
type Effect interface{ effect() }

// Send asks for a message to be sent.
type Send struct {
	To      NodeID
	Message Message
	Bulk    bool // it can wait: part of a transfer that live traffic goes before
}

// Verdict says what to do with a request.
type Verdict uint8

// The verdicts.
const (
	Serve   Verdict = iota // here, now
	Forward                // at Answer.Home
	Unknown                // the session does not exist, or no longer
	Refuse                 // it cannot be decided now: 503
)

// Answer is the verdict on a request.
type Answer struct {
	Request uint64
	Verdict Verdict
	Home    NodeID
}

// Released says that a write's request may be answered.
type Released struct {
	Write    uint64
	Degraded bool // fewer owners have it than was asked for
	Failed   bool // it may be lost: refuse the request
}

// Overdue says that a session at home here has been idle for longer than its
// timeout. The caller ends it with End, for the reason Expired, or finds it in
// use and calls TryServe or Request. It is said again until it does either.
type Overdue struct{ ID SessionID }

// Lost says that a session that was at home here no longer is: Home is its next
// home as far as is known. Home is 0 if the session has ended elsewhere.
type Lost struct {
	ID   SessionID
	Home NodeID
}

// Refreshed says that the copy of a session at home here has taken in changes
// from elsewhere: what the caller has made of it is out of date.
type Refreshed struct{ ID SessionID }

// Claimed says that this node has become a session's home after another one's
// death, pause or leave.
type Claimed struct {
	ID    SessionID
	Reign Reign
}

// Forked says that a join brought together changes of two homes.
type Forked struct {
	ID       SessionID
	Shadowed int
}

func (Send) effect()      {}
func (Answer) effect()    {}
func (Released) effect()  {}
func (Overdue) effect()   {}
func (Lost) effect()      {}
func (Refreshed) effect() {}
func (Claimed) effect()   {}
func (Forked) effect()    {}
