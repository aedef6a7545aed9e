package deploy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/serval-server/serval/sessions"
	"github.com/serval-server/serval/webapp"
)

// fakeCluster writes down what applications do with it.
type fakeCluster struct {
	mu     sync.Mutex
	events []string
}

func (c *fakeCluster) note(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = append(c.events, fmt.Sprintf(format, args...))
}

func (c *fakeCluster) want(t *testing.T, want ...string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Equal(c.events, want) {
		t.Errorf("the cluster heard %q, want %q", c.events, want)
	}
	c.events = nil
}

func (c *fakeCluster) Open(_ context.Context, app ClusterApp) (Replica, error) {
	if app.Replication.CacheName != "default" {
		return nil, fmt.Errorf("no cache %q", app.Replication.CacheName)
	}
	c.note("open %s %q %s", app.Key, app.Version, app.Replication.Granularity)
	return &fakeReplica{c: c}, nil
}

type fakeReplica struct{ c *fakeCluster }

func (r *fakeReplica) Find(context.Context, sessions.AppKey, sessions.ID) (*sessions.Snapshot, error) {
	return nil, nil
}
func (r *fakeReplica) Commit(*sessions.Delta) sessions.Receipt { return nil }
func (r *fakeReplica) Route(context.Context, sessions.ID) (webapp.Route, error) {
	return webapp.Route{}, nil
}
func (r *fakeReplica) Forward(http.ResponseWriter, *http.Request, webapp.Route) error { return nil }
func (r *fakeReplica) Attach(m *sessions.Manager)                                     { r.c.note("attach %t", m != nil) }
func (r *fakeReplica) Close(context.Context) error                                    { r.c.note("close"); return nil }
func (r *fakeReplica) Reconfigure(app ClusterApp) error {
	if app.Replication.CacheName != "default" {
		return errors.New("no such cache")
	}
	r.c.note("reconfigure %s", app.Replication.Granularity)
	return nil
}

var distributableXML = strings.Replace(counterXML, "<web-app>", "<web-app><distributable/>", 1)

const replicationXML = `<jboss-web><replication-config>%s</replication-config></jboss-web>`

// TestClusterOverGenerations: a reload keeps what the application has of the
// cluster, a change of its descriptor is told, its removal closes it.
func TestClusterOverGenerations(t *testing.T) {
	c := &fakeCluster{}
	h := newRealHost(t, func(_ *Options, o *Contexts) { o.Cluster = c })
	h.write("webapps/app##2/WEB-INF/web.xml", fmt.Sprintf(distributableXML, "one"))
	h.start()
	h.wantState("/app##2", Running)
	h.wantText("/app/count", "one 1")
	c.want(t, `open localhost/app "2" SESSION`, "attach true")
	h.write("webapps/app##2/WEB-INF/web.xml", fmt.Sprintf(distributableXML, "second"))
	h.Scan()
	h.wantText("/app/label", "second")
	c.want(t, "attach true")
	h.write("webapps/app##2/WEB-INF/jboss-web.xml", fmt.Sprintf(replicationXML, "<replication-granularity>FIELD</replication-granularity>"))
	h.scan2()
	c.want(t, "reconfigure FIELD", "attach true")
	h.write("webapps/app##2/WEB-INF/jboss-web.xml", fmt.Sprintf(replicationXML, "<cache-name>none</cache-name>"))
	h.scan2()
	if info := h.wantState("/app##2", Failed); !info.Serving || !strings.Contains(info.Error, "no such cache") {
		t.Errorf("reported as %+v", info)
	}
	c.want(t)
	if err := h.Undeploy(t.Context(), ParseName("app##2")); err != nil {
		t.Fatal(err)
	}
	c.want(t, "close")
}

// TestClusterRefuses: a cache that does not exist fails the deployment, and an
// application that does not start gives up what it has opened.
func TestClusterRefuses(t *testing.T) {
	c := &fakeCluster{}
	h := newRealHost(t, func(_ *Options, o *Contexts) { o.Cluster = c })
	h.write("webapps/app/WEB-INF/web.xml", fmt.Sprintf(distributableXML, "one"))
	h.write("webapps/app/WEB-INF/jboss-web.xml", fmt.Sprintf(replicationXML, "<cache-name>fast</cache-name>"))
	h.write("webapps/broken/WEB-INF/web.xml", strings.Replace(distributableXML, "<servlet-class>count<", "<servlet-class>none<", 1))
	h.write("webapps/alone/WEB-INF/web.xml", fmt.Sprintf(counterXML, "alone"))
	h.start()
	if info := h.wantState("/app", Failed); !strings.Contains(info.Error, `no cache "fast"`) {
		t.Errorf("reported as %+v", info)
	}
	h.wantState("/broken", Failed)
	h.wantState("/alone", Running)
	c.want(t, `open localhost/broken "" SESSION`, "close")
}

// TestDistributableAlone: without a cluster the application runs, and the log says so.
func TestDistributableAlone(t *testing.T) {
	var mu sync.Mutex
	var log strings.Builder
	h := newRealHost(t, func(o *Options, _ *Contexts) {
		o.Logger = slog.New(slog.NewTextHandler(writer(func(p []byte) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			return log.Write(p)
		}), nil))
	})
	h.write("webapps/app/WEB-INF/web.xml", fmt.Sprintf(distributableXML, "one"))
	h.start()
	h.wantText("/app/count", "one 1")
	mu.Lock()
	defer mu.Unlock()
	if !strings.Contains(log.String(), "in no cluster") {
		t.Errorf("log:\n%s", log.String())
	}
}

type writer func([]byte) (int, error)

func (f writer) Write(p []byte) (int, error) { return f(p) }
