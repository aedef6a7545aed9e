package sessions

// Status is what a NotificationPolicy may want to know of a session's place in
// the cluster.
type Status struct {
	LocallyUsed  bool // a request of this node has used the session
	LocallyOwned bool // this node is the session's home
	Replicated   bool // other nodes hold copies
}

// NotificationPolicy decides which listeners hear of a session event on this
// node (JBoss's ClusteredSessionNotificationPolicy). Local is true on the node
// where the event happened. It is asked before each call of a listener, in the
// process that runs the application's code.
type NotificationPolicy interface {
	AllowSessionListener(status Status, cause Cause, local bool) bool
	AllowAttributeListener(status Status, cause Cause, name string, local bool) bool
	AllowBindingListener(status Status, cause Cause, name string, local bool) bool
	AllowActivationListener(status Status, cause Cause, name string, local bool) bool
}
