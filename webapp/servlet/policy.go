package servlet

// NotificationPolicy decides on which node the listeners of a session hear of
// an event (JBoss's ClusteredSessionNotificationPolicy). It is asked before each
// call of a listener, in the process that runs the application; true is a
// permission, not a promise. Local is true on the node where the event happened,
// the only one that asks. Only applications that are distributable have a policy:
// by default IgnoreUndeployPolicy, or the one that their descriptor names, of this
// package or their own in App.Policies.
type NotificationPolicy interface {
	// AllowSessionListener is asked before SessionListener is told.
	AllowSessionListener(status Status, cause Cause, local bool) bool
	// AllowAttributeListener is asked before SessionAttributeListener is told.
	AllowAttributeListener(status Status, cause Cause, name string, local bool) bool
	// AllowBindingListener is asked before BindingListener is told.
	AllowBindingListener(status Status, cause Cause, name string, local bool) bool
	// AllowActivationListener is asked before ActivationListener is told.
	AllowActivationListener(status Status, cause Cause, name string, local bool) bool
}

// Status is what a NotificationPolicy may want to know of the session's place
// in the cluster.
type Status struct {
	// LocallyUsed: a request of this node has used the session.
	LocallyUsed bool
	// LocallyOwned: this node is the session's home.
	LocallyOwned bool
	// Replicated: other nodes hold copies.
	Replicated bool
}

// The names of the policies that ship, as session-notification-policy has them
// (without JBoss's package).
const (
	LegacyPolicyName         = "LegacyClusteredSessionNotificationPolicy"
	IgnoreUndeployPolicyName = "IgnoreUndeployLegacyClusteredSessionNotificationPolicy"
)

// LegacyPolicy is JBoss's LegacyClusteredSessionNotificationPolicy: listeners hear
// of sessions that are used on this node, and session listeners not of a failover.
// An application's own policy can embed it.
type LegacyPolicy struct{}

// IgnoreUndeployPolicy is JBoss's default,
// IgnoreUndeployLegacyClusteredSessionNotificationPolicy: as LegacyPolicy, but
// session and attribute listeners do not hear that sessions end with their
// application on a node. Values that listen to their binding do, as in JBoss.
type IgnoreUndeployPolicy struct{ LegacyPolicy }

var (
	_ NotificationPolicy = LegacyPolicy{}
	_ NotificationPolicy = IgnoreUndeployPolicy{}
)

// AllowSessionListener implements NotificationPolicy.
func (LegacyPolicy) AllowSessionListener(s Status, c Cause, _ bool) bool {
	return s.LocallyUsed && c != Failover
}

// AllowAttributeListener implements NotificationPolicy.
func (LegacyPolicy) AllowAttributeListener(s Status, _ Cause, _ string, _ bool) bool {
	return s.LocallyUsed
}

// AllowBindingListener implements NotificationPolicy.
func (LegacyPolicy) AllowBindingListener(s Status, _ Cause, _ string, _ bool) bool {
	return s.LocallyUsed
}

// AllowActivationListener implements NotificationPolicy.
func (LegacyPolicy) AllowActivationListener(s Status, _ Cause, _ string, _ bool) bool {
	return s.LocallyUsed
}

// AllowSessionListener implements NotificationPolicy.
func (p IgnoreUndeployPolicy) AllowSessionListener(s Status, c Cause, local bool) bool {
	return c != Undeploy && p.LegacyPolicy.AllowSessionListener(s, c, local)
}

// AllowAttributeListener implements NotificationPolicy.
func (p IgnoreUndeployPolicy) AllowAttributeListener(s Status, c Cause, name string, local bool) bool {
	return c != Undeploy && p.LegacyPolicy.AllowAttributeListener(s, c, name, local)
}

// policy finds a policy by its name: the application's own, or one of those that
// ship.
func (a *App) policy(name string) (NotificationPolicy, bool) {
	if p, ok := a.Policies[name]; ok && p != nil {
		return p, true
	}
	switch name {
	case LegacyPolicyName:
		return LegacyPolicy{}, true
	case IgnoreUndeployPolicyName:
		return IgnoreUndeployPolicy{}, true
	}
	return nil, false
}
