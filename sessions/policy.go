package sessions

// Status is what a notification policy may want to know of a session's place in
// the cluster (JBoss's ClusteredSessionManagementStatus). The policies are asked
// before each call of a listener, in the process that runs the application's code:
// they are in webapp/servlet; a manager reports all events.
type Status struct {
	LocallyUsed  bool // a request of this node has used the session
	LocallyOwned bool // this node is the session's home
	Replicated   bool // other nodes hold copies
}
