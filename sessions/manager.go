package sessions

import (
	"context"
	"errors"
)

// Manager keeps the sessions of one application. It is safe for concurrent use.
type Manager struct{ opts Options }

// New makes a manager. It has no side effects; call Load, then Start.
func New(o Options) (*Manager, error) {
	o, err := o.withDefaults()
	return &Manager{opts: o}, err
}

// Start starts the goroutine that ends and passivates idle sessions. Close stops it.
func (m *Manager) Start() {}

// Create makes a session, in use until its End. The error is a *TooManyError if
// there are too many, ErrClosed if the manager is closed.
func (m *Manager) Create(ctx context.Context) (*Session, error) { return nil, errors.ErrUnsupported }

// Find returns the session with this id, in use until its End. The error is
// ErrNotFound if there is none, also for an id of a wrong form.
func (m *Manager) Find(ctx context.Context, id ID) (*Session, error) { return nil, ErrNotFound }

// Contains reports whether the session is here, without using it.
func (m *Manager) Contains(id ID) bool { return false }

// Load reads the sessions that Close has saved to Options.File.
func (m *Manager) Load(ctx context.Context) (LoadReport, error) { return LoadReport{}, nil }

// LoadReport says what Load has found.
type LoadReport struct {
	Sessions int    // loaded
	SetAside string // the file's new name if it was damaged, else ""
	Damage   error  // what was wrong with it
}

// Close stops the manager. With save, the sessions go to Options.File and
// Options.Store; those that cannot end with cause UNDEPLOY.
func (m *Manager) Close(ctx context.Context, save bool) error { return nil }

// Rebind hands the manager to the next generation of its application.
func (m *Manager) Rebind(ctx context.Context, o Options) error { return nil }

// Stats returns the statistics.
func (m *Manager) Stats() Stats { return Stats{} }
