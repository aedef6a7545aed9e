package worker

import (
	"fmt"
	"time"
)

// Defaults of Options and of the limits that a descriptor leaves open.
const (
	DefaultMaxRequests  = 256
	DefaultStartTimeout = 60 * time.Second
	DefaultStopTimeout  = 10 * time.Second
	DefaultWaitRestart  = 15 * time.Second
	DefaultEventWait    = 60 * time.Second
	DefaultStuck        = 30 * time.Second
	DefaultPing         = 10 * time.Second
	DefaultBackoffMax   = 30 * time.Second
)

// Options are what a Runtime is made with. The zero value but for Command will do.
type Options struct {
	// Command is the program and its arguments. It must not be empty.
	Command []string
	// Dir is the process's working directory; "" is the server's.
	Dir string
	// BundleDir is where the worker finds the bundle's files; "" is the
	// launch's own folder.
	BundleDir string
	// Env is added to the environment, as NAME=value. Of the server's own
	// environment only PATH, HOME, TMPDIR, TZ, LANG, LC_* and SSL_CERT_* are
	// passed on.
	Env []string
	// WaitRestart is how long a request waits for a worker that is being
	// restarted, before it is answered with 503. 0 is DefaultWaitRestart.
	WaitRestart time.Duration
	// EventWait is how long an event waits for it, from the end of the worker
	// before; then it is dropped. 0 is DefaultEventWait.
	EventWait time.Duration
	// Stuck is how long a request may go on after its deadline before the
	// worker is killed. 0 is DefaultStuck.
	Stuck time.Duration
	// Ping is how often a silent worker is asked whether it lives; one that
	// has said nothing for three times as long is killed. 0 is DefaultPing.
	Ping time.Duration
	// Backoff is the delay before the second restart in a row; it doubles
	// with each, up to DefaultBackoffMax. The first is at once. 0 is 100 ms.
	Backoff time.Duration
	// Window is the credit of each direction of a stream, in bytes. 0 is
	// wire.DefaultWindow.
	Window int
	// Server is the name that the worker is told. "" is "serval".
	Server string
}

func (o Options) withDefaults() (Options, error) {
	if len(o.Command) == 0 {
		return o, fmt.Errorf("worker: no command to start")
	}
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&o.WaitRestart, DefaultWaitRestart)
	def(&o.EventWait, DefaultEventWait)
	def(&o.Stuck, DefaultStuck)
	def(&o.Ping, DefaultPing)
	def(&o.Backoff, 100*time.Millisecond)
	if o.Server == "" {
		o.Server = "serval"
	}
	return o, nil
}
