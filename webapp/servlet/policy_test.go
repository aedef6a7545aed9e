package servlet_test

import (
	"testing"

	"github.com/serval-server/serval/webapp/servlet"
)

// TestPolicies are the answers of the two policies that ship, jboss.md §3.2: both
// ignore local.
func TestPolicies(t *testing.T) {
	for _, used := range []bool{true, false} {
		for cause := servlet.Create; cause <= servlet.Replication; cause++ {
			for _, local := range []bool{true, false} {
				s := servlet.Status{LocallyUsed: used}
				legacy, ignore := servlet.LegacyPolicy{}, servlet.IgnoreUndeployPolicy{}
				for _, test := range []struct {
					kind      string
					got, want [2]bool
				}{
					{"session", [2]bool{legacy.AllowSessionListener(s, cause, local), ignore.AllowSessionListener(s, cause, local)},
						[2]bool{used && cause != servlet.Failover, used && cause != servlet.Failover && cause != servlet.Undeploy}},
					{"attribute", [2]bool{legacy.AllowAttributeListener(s, cause, "a", local), ignore.AllowAttributeListener(s, cause, "a", local)},
						[2]bool{used, used && cause != servlet.Undeploy}},
					{"binding", [2]bool{legacy.AllowBindingListener(s, cause, "a", local), ignore.AllowBindingListener(s, cause, "a", local)}, [2]bool{used, used}},
					{"activation", [2]bool{legacy.AllowActivationListener(s, cause, "a", local), ignore.AllowActivationListener(s, cause, "a", local)}, [2]bool{used, used}},
				} {
					if test.got != test.want {
						t.Errorf("%s listener, %v, used %v: %v, want %v", test.kind, cause, used, test.got, test.want)
					}
				}
			}
		}
	}
}

// TestPolicyNames: an application's own policy goes before one that ships; one that
// nobody has is an error.
func TestPolicyNames(t *testing.T) {
	own := servlet.App{Policies: map[string]servlet.NotificationPolicy{"own": servlet.LegacyPolicy{}, "nil": nil}}
	for name, ok := range map[string]bool{"": true, "own": true, servlet.LegacyPolicyName: true, servlet.IgnoreUndeployPolicyName: true, "nil": false, "other": false} {
		in := servlet.NewInstance(own, servlet.NewContext(servlet.ContextConfig{}))
		if err := in.InitContext(nil, name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}
