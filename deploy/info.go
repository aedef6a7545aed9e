package deploy

import "time"

// State says where an application is in its life.
type State string

// The states of an application.
const (
	// Starting: the first generation is being opened, built or initialised.
	// Requests wait for it, for at most Options.WaitTimeout.
	Starting State = "STARTING"
	// Running: the current generation serves and is up to date.
	Running State = "RUNNING"
	// Reloading: the current generation serves while its successor starts.
	Reloading State = "RELOADING"
	// Stopping: requests are waited for, then the application ends.
	Stopping State = "STOPPING"
	// Stopped: stopped by hand; deployed, but not serving.
	Stopped State = "STOPPED"
	// Failed: the latest attempt to deploy or reload failed. If Serving is
	// set in AppInfo, the generation before it still answers.
	Failed State = "FAILED"
)

// AppInfo is what a Host reports of one application, a snapshot.
type AppInfo struct {
	// Host is the name of the host that the application belongs to.
	Host string `json:"host"`
	// Path is the context path, "/" for the root context.
	Path string `json:"context_path"`
	// Version is the version of a bundle with ## in its name, or "".
	Version string `json:"version"`
	// State is the application's state, Serving whether requests are
	// answered: a FAILED application may still serve its old generation.
	State   State `json:"state"`
	Serving bool  `json:"serving"`
	// Sessions is the number of live sessions.
	Sessions int `json:"sessions"`
	// WorkerPID is the process id of the worker that runs the application's
	// code, 0 if there is none.
	WorkerPID int `json:"worker_pid"`
	// Runtime says what runs the application's code: "linked", "worker",
	// "wasm", or "" for a bundle without code.
	Runtime string `json:"runtime,omitempty"`
	// Error is why the state is FAILED, else "".
	Error string `json:"error,omitempty"`
	// Since is when the state was entered.
	Since time.Time `json:"since"`
	// Generation counts the generations that have served, from 1; 0 if none has.
	Generation int `json:"generation"`
	// Bundle is the folder or the zip that the application comes from.
	Bundle string `json:"bundle,omitempty"`
	// DisplayName is the descriptor's display-name, if there is one.
	DisplayName string `json:"display_name,omitempty"`
}
