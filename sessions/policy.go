package sessions

import "github.com/serval-server/serval/descriptor"

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
// process that runs the application's code; a manager reports all events.
type NotificationPolicy interface {
	AllowSessionListener(status Status, cause Cause, local bool) bool
	AllowAttributeListener(status Status, cause Cause, name string, local bool) bool
	AllowBindingListener(status Status, cause Cause, name string, local bool) bool
	AllowActivationListener(status Status, cause Cause, name string, local bool) bool
}

// Legacy is JBoss's LegacyClusteredSessionNotificationPolicy: listeners hear of
// sessions that are used on this node, and session listeners not of a failover.
type Legacy struct{}

// IgnoreUndeployLegacy is JBoss's default,
// IgnoreUndeployLegacyClusteredSessionNotificationPolicy: as Legacy, but session
// and attribute listeners do not hear that sessions end with their application.
// Values that listen to their binding do, as in JBoss.
type IgnoreUndeployLegacy struct{ Legacy }

var (
	_ NotificationPolicy = Legacy{}
	_ NotificationPolicy = IgnoreUndeployLegacy{}
)

// AllowSessionListener implements NotificationPolicy.
func (Legacy) AllowSessionListener(s Status, c Cause, _ bool) bool {
	return s.LocallyUsed && c != Failover
}

// AllowAttributeListener implements NotificationPolicy.
func (Legacy) AllowAttributeListener(s Status, _ Cause, _ string, _ bool) bool { return s.LocallyUsed }

// AllowBindingListener implements NotificationPolicy.
func (Legacy) AllowBindingListener(s Status, _ Cause, _ string, _ bool) bool { return s.LocallyUsed }

// AllowActivationListener implements NotificationPolicy.
func (Legacy) AllowActivationListener(s Status, _ Cause, _ string, _ bool) bool { return s.LocallyUsed }

// AllowSessionListener implements NotificationPolicy.
func (p IgnoreUndeployLegacy) AllowSessionListener(s Status, c Cause, local bool) bool {
	return c != Undeploy && p.Legacy.AllowSessionListener(s, c, local)
}

// AllowAttributeListener implements NotificationPolicy.
func (p IgnoreUndeployLegacy) AllowAttributeListener(s Status, c Cause, name string, local bool) bool {
	return c != Undeploy && p.Legacy.AllowAttributeListener(s, c, name, local)
}

// PolicyByName returns the shipped policy of this name (JBoss's, without its
// package; "" is the default one), false if it is not one of them.
func PolicyByName(name string) (NotificationPolicy, bool) {
	switch name {
	case descriptor.PolicyLegacy:
		return Legacy{}, true
	case "", descriptor.PolicyIgnoreUndeployLegacy:
		return IgnoreUndeployLegacy{}, true
	}
	return nil, false
}
