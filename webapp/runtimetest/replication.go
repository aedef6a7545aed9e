package runtimetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/serval-server/serval/descriptor"
	"github.com/serval-server/serval/sessions"
)

// RunReplication is the part of the suite that is about sessions which other nodes
// have too: when their changes travel, what waits for that, and who hears of it.
func RunReplication(t *testing.T, o Options) {
	t.Run("Acknowledgement", func(t *testing.T) { testAcknowledgement(t, o) })
	t.Run("Triggers", func(t *testing.T) { testTriggers(t, o) })
	t.Run("NonSerializable", func(t *testing.T) { testNonSerializable(t, o) })
	t.Run("Policies", func(t *testing.T) { testPolicies(t, o) })
	t.Run("Replicated", func(t *testing.T) { testReplicated(t, o) })
	t.Run("TakenOver", func(t *testing.T) { testTakenOver(t, o) })
}

// twin is a Replicator that writes down what it is given, acknowledges when it is
// told to, and knows one session.
type twin struct {
	mu     sync.Mutex
	deltas []*sessions.Delta
	gate   chan error // nil: all is acknowledged at once
	snap   *sessions.Snapshot
}

func (r *twin) Find(_ context.Context, _ sessions.AppKey, id sessions.ID) (*sessions.Snapshot, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.snap != nil && r.snap.ID == id {
		return r.snap, nil
	}
	return nil, nil
}

func (r *twin) Commit(d *sessions.Delta) sessions.Receipt {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deltas = append(r.deltas, d)
	if r.gate == nil {
		return nil
	}
	return waiter(r.gate)
}

func (r *twin) hold(on bool) chan error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gate = nil
	if on {
		r.gate = make(chan error)
	}
	return r.gate
}

// take describes the deltas since the last call.
func (r *twin) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, d := range r.deltas {
		s := ""
		for _, a := range d.Set {
			s += " " + a.Name
		}
		for _, n := range d.Removed {
			s += " -" + n
		}
		switch {
		case s != "":
		case d.Dead:
			s = " dead"
		case d.Base == d.Dot:
			s = " touch"
		default:
			s = " meta"
		}
		out = append(out, s[1:])
	}
	r.deltas = nil
	return strings.Join(out, "; ")
}

// waiter is a Receipt that is met by what comes through the channel.
type waiter chan error

func (w waiter) Wait(ctx context.Context) error {
	select {
	case err := <-w:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func distributable(change func(*descriptor.Replication)) func(*descriptor.WebApp) {
	return func(d *descriptor.WebApp) {
		d.Distributable = true
		d.Replication.NotificationPolicy = descriptor.PolicyIgnoreUndeployLegacy
		d.Replication.Trigger = descriptor.TriggerSetAndNonPrimitiveGet
		if change != nil {
			change(&d.Replication)
		}
	}
}

// testAcknowledgement: nothing of an answer leaves before the changes are safe; if
// they cannot be made so, the answer is 503, or is broken off if it has begun.
func testAcknowledgement(t *testing.T, o Options) {
	r := &twin{}
	h := deployWith(t, o, sessions.Options{Replicator: r}, distributable(nil))
	h.want("/session?set.a=1", 200, "")
	for _, test := range []struct {
		how    string
		status int
		twice  bool // a second commit point, after the first byte
	}{{"end", 200, false}, {"flush", 200, true}, {"overflow", 200, true}, {"barrier", 200, true}, {"error", 409, false}} {
		gate := r.hold(true)
		got := h.begin("/gate?how=" + test.how)
		select {
		case a := <-got:
			t.Errorf("%s: %d without an acknowledgement", test.how, a.status)
		case gate <- nil:
		}
		if test.twice {
			gate <- nil
		}
		if a := <-got; a.status != test.status || a.err != nil {
			t.Errorf("%s: %d %v", test.how, a.status, a.err)
		}

		got = h.begin("/gate?how=" + test.how)
		gate <- fmt.Errorf("no owner: %w", sessions.ErrUnavailable)
		a := <-got
		if a.status != http.StatusServiceUnavailable || a.again == "" || a.err != nil {
			t.Errorf("%s: %d %v, Retry-After %q after a failure", test.how, a.status, a.err, a.again)
		}
		if test.how == "flush" || test.how == "overflow" {
			got = h.begin("/gate?how=" + test.how)
			gate <- nil
			gate <- errors.New("no owner")
			if a := <-got; a.status != 200 || a.err == nil {
				t.Errorf("%s: %d %v, want the answer broken off", test.how, a.status, a.err)
			}
		}
		r.hold(false)
	}
	if !strings.Contains(h.log.String(), "no owner") {
		t.Error("the log does not say why")
	}
}

type outcome struct {
	status int
	again  string // Retry-After
	err    error  // of the body
}

// begin sends a request that is not waited for.
func (h *harness) begin(path string) <-chan outcome {
	got := make(chan outcome, 1)
	go func() {
		req, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, h.srv.URL+"/app"+path, nil)
		if err != nil {
			got <- outcome{err: err}
			return
		}
		res, err := h.client.Do(req)
		if err != nil {
			got <- outcome{err: err}
			return
		}
		_, err = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		got <- outcome{status: res.StatusCode, again: res.Header.Get("Retry-After"), err: err}
	}()
	return got
}

// testTriggers is jboss.md §4.2, as REPLICATION §1 has it: what is read as a mutable
// type travels if it has changed; with SET_AND_GET any read counts as a use.
func testTriggers(t *testing.T, o Options) {
	triggers := [...]descriptor.ReplicationTrigger{descriptor.TriggerSet, descriptor.TriggerSetAndNonPrimitiveGet, descriptor.TriggerSetAndGet, descriptor.TriggerAccess}
	apps := [len(triggers)]*harness{}
	twins := [len(triggers)]*twin{}
	for i, trigger := range triggers {
		twins[i] = &twin{}
		apps[i] = deployWith(t, o, sessions.Options{Replicator: twins[i]}, distributable(func(r *descriptor.Replication) { r.Trigger = trigger }))
		apps[i].want("/session?set.a=1", 200, "")
		apps[i].want("/basket?item=0", 200, "1")
		if got := twins[i].take(); !strings.HasSuffix(got, "; basket") {
			t.Errorf("%s: created by %q", trigger, got)
		}
	}
	for _, test := range []struct {
		name, path string
		want       [len(triggers)]string // SET, SET_AND_NON_PRIMITIVE_GET, SET_AND_GET, ACCESS
	}{
		{"set", "/session?set.a=2", [...]string{"a", "a", "a", "a"}},
		{"set to the same", "/session?set.a=2", [...]string{"a", "a", "a", "a"}},
		{"get nothing", "/session?get=none", [...]string{"", "", "touch", "touch"}},
		{"get a string", "/session?get=a", [...]string{"", "", "touch", "touch"}},
		{"get what is mutable", "/session?look=basket", [...]string{"", "", "touch", "touch"}},
		{"change in place", "/basket?item=1", [...]string{"", "basket", "basket", "basket"}},
		{"update", "/session?update=n", [...]string{"n", "n", "n", "n"}},
		{"names", "/session?names", [...]string{"", "", "", "touch"}},
		{"idle time", "/session?idle=100", [...]string{"meta", "meta", "meta", "meta"}},
		{"remove nothing", "/session?remove=none", [...]string{"", "", "", "touch"}},
		{"remove", "/session?remove=a", [...]string{"-a", "-a", "-a", "-a"}},
		{"several", "/session?set.x=1&set.y=2&remove=basket&remove=n", [...]string{"x y -basket -n", "x y -basket -n", "x y -basket -n", "x y -basket -n"}},
		{"another id", "/session?changeid", [...]string{"touch", "touch", "touch", "touch"}},
		{"no use", "/one", [...]string{"", "", "", "?"}},
		{"end", "/session?invalidate", [...]string{"dead", "dead", "dead", "dead"}},
	} {
		for i, h := range apps {
			h.get(test.path)
			got := twins[i].take()
			if strings.Contains(test.path, "update") && i >= 2 {
				got = strings.TrimSuffix(got, "; touch") // an update is a commit of its own
			}
			if want := test.want[i]; got != want && want != "?" {
				t.Errorf("%s, %s: %q, want %q", triggers[i], test.name, got, want)
			}
		}
	}
}

// testNonSerializable: a value that cannot be encoded is refused, or stays here, and
// does not cost the others of its request.
func testNonSerializable(t *testing.T, o Options) {
	for _, how := range []string{"error", "local"} {
		r := &twin{}
		h := deployWith(t, o, sessions.Options{Replicator: r}, distributable(func(r *descriptor.Replication) { r.NonSerializable = how }))
		_, body := h.get("/session?badlocal&set.good=1")
		if failed := strings.Contains(body, "error"); failed != (how == "error") {
			t.Errorf("%s: %q", how, body)
		}
		if got := r.take(); got != "good greeting" && got != "greeting; good" {
			t.Errorf("%s: %q travels", how, got)
		}
		if how == "local" {
			h.get("/session?badlocal")
			h.eventually("the warning", func() bool { return strings.Contains(h.log.String(), "stays on this node") })
			if n := strings.Count(h.log.String(), "stays on this node"); n != 1 {
				t.Errorf("%d warnings, want one per type", n)
			}
		}
	}
}

// quiet returns what the journal has got since the last call, out of the log: the
// session is not touched for it.
func (h *harness) quiet() string {
	h.t.Helper()
	all := h.log.String()
	news := all[h.seen:]
	h.seen = len(all)
	var lines []string
	for line := range strings.SplitSeq(news, "\n") {
		_, line, ok := strings.Cut(line, " msg=journal line=")
		if !ok {
			continue
		}
		if plain, err := strconv.Unquote(line); err == nil {
			line = plain
		}
		if !strings.HasPrefix(line, "request ") && !strings.HasPrefix(line, "context ") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

// testPolicies: the application's own policy decides, in its own process.
func testPolicies(t *testing.T, o Options) {
	with := func(policy string, r *twin) *harness {
		return deployWith(t, o, sessions.Options{Replicator: r}, distributable(func(d *descriptor.Replication) { d.NotificationPolicy = policy }))
	}
	h := with("deny", &twin{})
	h.want("/session?set.a=1&set.a=2&send=x&remove=a&invalidate", 200, "")
	if got := h.quiet(); got != "" {
		t.Errorf("deny: %q", got)
	}
	for _, policy := range []string{descriptor.PolicyLegacy, descriptor.PolicyIgnoreUndeployLegacy} {
		h := with(policy, &twin{})
		h.want("/session?set.a=1&invalidate", 200, "")
		if got := h.quiet(); got != "added greeting\nsession created CREATE\nadded a\nsession destroyed INVALIDATE a=1\nremoved a\nremoved greeting" {
			t.Errorf("%s: %q", policy, got)
		}
	}
	h = with("spy", &twin{})
	h.want("/basket?item=1", 200, "1")
	const here = "used+owned+replicated+local"
	asked := "asked session CREATE " + here + "\nasked attribute MODIFY greeting " + here + "\nadded greeting\nsession created CREATE\n" +
		"asked binding MODIFY basket " + here + "\nbound basket 0\nasked attribute MODIFY basket " + here + "\nadded basket"
	if got := h.quiet(); got != asked {
		t.Errorf("spy: %q, want %q", got, asked)
	}
	h.want("/session?invalidate", 200, "")
	ended := "asked session INVALIDATE " + here + "\nsession destroyed INVALIDATE a=\n" +
		"asked binding INVALIDATE basket " + here + "\nunbound basket 1\nasked attribute INVALIDATE basket " + here + "\nremoved basket\n" +
		"asked attribute INVALIDATE greeting " + here + "\nremoved greeting"
	if got := strings.ReplaceAll(h.quiet(), "asked binding INVALIDATE greeting "+here+"\n", ""); got != ended {
		t.Errorf("spy: %q, want %q", got, ended)
	}
}

// testReplicated: a value hears each time that its session is replicated and comes
// back (cause REPLICATION), and what it changes in itself travels along.
func testReplicated(t *testing.T, o Options) {
	r := &twin{}
	h := deployWith(t, o, sessions.Options{Replicator: r}, distributable(nil))
	parcel := func(want string) {
		t.Helper()
		var lines []string
		for line := range strings.SplitSeq(h.quiet(), "\n") {
			if strings.HasPrefix(line, "parcel ") {
				lines = append(lines, line)
			}
		}
		if got := strings.Join(lines, ", "); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	h.want("/session?send=x", 200, "")
	parcel("parcel away REPLICATION")
	r.take()
	h.want("/session?set.a=1", 200, "")
	parcel("parcel back REPLICATION, parcel away REPLICATION")
	if got := r.take(); got != "a parcel" {
		t.Errorf("%q travels, want what the value has changed in itself too", got)
	}
	h.want("/session?names", 200, "[a greeting parcel]\n")
	parcel("parcel back REPLICATION")
	h.want("/session?names", 200, "[a greeting parcel]\n")
	parcel("")
	h.want("/session?remove=parcel", 200, "")
	parcel("")
}

// testTakenOver: a session of another node that has died, or has handed it over,
// comes here; one that another node takes leaves.
func testTakenOver(t *testing.T, o Options) {
	for _, cause := range []sessions.Cause{sessions.Failover, sessions.StateTransfer} {
		r := &twin{}
		h := deployWith(t, o, sessions.Options{Replicator: r}, distributable(func(d *descriptor.Replication) { d.NotificationPolicy = "spy" }))
		h.want("/session?send=x", 200, "")
		first := r.take()
		s, err := h.ctx.Sessions().Find(t.Context(), h.sessionID())
		if err != nil {
			t.Fatal(first, err)
		}
		a, _, err := s.Attribute("parcel")
		if err != nil {
			t.Fatal(err)
		}
		s.End()
		h.quiet()
		h.ctx.Sessions().Evict(t.Context(), s.ID(), sessions.Failaway)
		if got, want := h.quiet(), "asked activation FAILAWAY parcel used+replicated+local\nparcel away FAILAWAY"; got != want {
			t.Errorf("evicted: %q, want %q", got, want)
		}
		r.mu.Lock()
		r.snap = &sessions.Snapshot{ID: s.ID().Real(), Head: a.Dot, Created: time.Now(), Accessed: time.Now(), Attributes: []sessions.Attribute{a}, Cause: cause}
		r.mu.Unlock()
		names := "[parcel]\n"
		if cause == sessions.Failover {
			names = "[greeting parcel]\n" // the suite's listener greets whatever session it hears of
		}
		h.want("/session?names", 200, names)
		got := h.quiet()
		if asked := strings.Contains(got, fmt.Sprintf("asked session %v used+owned+replicated+local", cause)); asked != (cause == sessions.Failover) {
			t.Errorf("%v: %q", cause, got)
		}
		if want := fmt.Sprintf("asked activation %v parcel used+owned+replicated+local\nparcel back %v", cause, cause); !strings.Contains(got, want) {
			t.Errorf("%v: %q lacks %q", cause, got, want)
		}
	}
}

// sessionID is the id that the browser has.
func (h *harness) sessionID() sessions.ID {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, h.srv.URL+"/app/", nil)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, c := range h.client.Jar.Cookies(req.URL) {
		return sessions.ID(c.Value)
	}
	h.t.Fatal("no session")
	return ""
}
