package deploy

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// fakeApp is an Application that answers with its bundle's index.txt as it
// was when it was made. Its sessions are a set of ids, handed on from one
// generation to the next; a request brings its id in the header "Session".
type fakeApp struct {
	world  *world
	launch Launch
	text   string
	// sessions is shared by all generations, as a manager is.
	sessions *sync.Map
	stopped  atomic.Int32
	fate     SessionFate
}

// world is what the fake applications of one test report to.
type world struct {
	mu     sync.Mutex
	events []string
	// gate, if not nil, is received from by each Start.
	gate chan struct{}
	// inside, if not nil, is sent to by each request for ?wait, which then
	// waits for release.
	inside, release chan struct{}
	launches        int
}

func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, fmt.Sprintf(format, args...))
}

func (w *world) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	events := w.events
	w.events = nil
	return events
}

// make is the Factory. A file "broken" fails it, "fails" fails Start, and
// "panics" panics; a file "watched" is watched, "reloadable" makes it so.
func (w *world) make(_ context.Context, l Launch) (Application, Traits, error) {
	w.mu.Lock()
	w.launches++
	w.mu.Unlock()
	if b, err := fs.ReadFile(l.FS, "broken"); err == nil {
		return nil, Traits{}, fmt.Errorf("broken: %s", b)
	}
	text, err := fs.ReadFile(l.FS, "index.txt")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, Traits{}, err
	}
	sessions := &sync.Map{}
	if l.Previous != nil {
		sessions = l.Previous.(*fakeApp).sessions
		l.Previous = nil // or each generation would hold on to all before it
	}
	a := &fakeApp{world: w, launch: l, text: strings.TrimSpace(string(text)), sessions: sessions}
	traits := Traits{Watched: []string{"watched"}}
	if b, err := fs.ReadFile(l.FS, "reloadable"); err == nil {
		yes := strings.TrimSpace(string(b)) == "true"
		traits.Reloadable = &yes
	}
	return a, traits, nil
}

func (a *fakeApp) Start(ctx context.Context) error {
	if a.world.gate != nil {
		select {
		case <-a.world.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if _, err := fs.Stat(a.launch.FS, "panics"); err == nil {
		panic("at the start")
	}
	if b, err := fs.ReadFile(a.launch.FS, "fails"); err == nil {
		return fmt.Errorf("fails: %s", b)
	}
	a.world.note("start %s %s", a.launch.Name.Display(), a.text)
	return nil
}

func (a *fakeApp) Stop(_ context.Context, fate SessionFate) error {
	if a.stopped.Add(1) > 1 {
		return errors.New("stopped twice")
	}
	a.fate = fate
	a.world.note("stop %s %s %d", a.launch.Name.Display(), a.text, fate)
	return nil
}

func (a *fakeApp) Owns(r *http.Request) bool {
	_, ok := a.sessions.Load(r.Header.Get("Session"))
	return ok
}

func (a *fakeApp) Stats() Stats {
	n := 0
	a.sessions.Range(func(any, any) bool { n++; return true })
	return Stats{Sessions: n, Runtime: "fake"}
}

func (a *fakeApp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.stopped.Load() > 0 {
		http.Error(w, "stopped", http.StatusInternalServerError)
		return
	}
	if id := r.URL.Query().Get("new"); id != "" {
		a.sessions.Store(id, true)
	}
	if id := r.URL.Query().Get("end"); id != "" {
		a.sessions.Delete(id)
	}
	if r.URL.Query().Has("wait") {
		a.world.inside <- struct{}{}
		<-a.world.release
	}
	if name := r.URL.Query().Get("file"); name != "" {
		b, err := fs.ReadFile(a.launch.FS, name)
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		_, _ = w.Write(b)
		return
	}
	_, _ = fmt.Fprint(w, a.text)
}

// testHost is a Host in a folder of its own, scanned by hand.
type testHost struct {
	*Host
	t      *testing.T
	world  *world
	home   string
	adjust func(*Options)
}

func newTestHost(t *testing.T, adjust func(*Options)) *testHost {
	t.Helper()
	h := &testHost{t: t, world: &world{}, home: t.TempDir(), adjust: adjust}
	h.restart()
	return h
}

// restart makes the Host, or a new one in place of one that was stopped.
func (h *testHost) restart() {
	h.t.Helper()
	opts := Options{
		AppBase: filepath.Join(h.home, "webapps"), XMLBase: filepath.Join(h.home, "conf"), WorkDir: filepath.Join(h.home, "work"),
		NoAutoDeploy: true, New: h.world.make, DrainTimeout: 10 * time.Second, WaitTimeout: 10 * time.Second,
	}
	if h.adjust != nil {
		h.adjust(&opts)
	}
	for _, dir := range []string{opts.AppBase, opts.XMLBase} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			h.t.Fatal(err)
		}
	}
	host, err := New(opts)
	if err != nil {
		h.t.Fatal(err)
	}
	h.Host = host
	h.t.Cleanup(func() { _ = host.Stop(context.Background()) })
}

func (h *testHost) start() {
	h.t.Helper()
	if err := h.Start(context.Background()); err != nil {
		h.t.Fatal(err)
	}
	if err := h.Settled(context.Background()); err != nil {
		h.t.Fatal(err)
	}
	if h.opts.NoAutoDeploy {
		h.wg.Wait() // until every turn is given back
	}
}

// scan2 scans until what has changed is stable, and acted upon.
func (h *testHost) scan2() {
	h.Scan()
	h.Scan()
	h.wg.Wait()
}

func (h *testHost) path(name string) string { return filepath.Join(h.home, filepath.FromSlash(name)) }

func (h *testHost) write(name, content string) {
	h.t.Helper()
	path := h.path(name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
		h.t.Fatal(err)
	}
	h.touch(name)
}

var clock atomic.Int64

// touch gives a file a time that no other file has had.
func (h *testHost) touch(name string) {
	h.t.Helper()
	at := time.Date(2021, 3, 4, 5, 0, 0, 0, time.UTC).Add(time.Duration(clock.Add(1)) * time.Second)
	if err := os.Chtimes(h.path(name), at, at); err != nil {
		h.t.Fatal(err)
	}
}

func (h *testHost) delete(name string) {
	h.t.Helper()
	if err := os.RemoveAll(h.path(name)); err != nil {
		h.t.Fatal(err)
	}
}

func (h *testHost) has(name string) bool {
	_, err := os.Stat(h.path(name))
	return err == nil
}

// zip writes a zip with an index.txt and further files (name, content, ...).
func (h *testHost) zip(name, text string, more ...string) {
	h.t.Helper()
	h.write(name, string(zipBytes(h.t, append([]string{"index.txt", text}, more...)...)))
}

func zipBytes(t testing.TB, files ...string) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for i := 0; i < len(files); i += 2 {
		out, err := w.Create(files[i])
		if err == nil {
			_, err = out.Write([]byte(files[i+1]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func (h *testHost) get(url string, header ...string) (int, string) {
	h.t.Helper()
	r := httptest.NewRequest(http.MethodGet, url, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, strings.TrimSpace(w.Body.String())
}

func (h *testHost) wantText(url, want string) {
	h.t.Helper()
	if code, got := h.get(url); code != http.StatusOK || got != want {
		h.t.Errorf("GET %s: %d %q, want %q", url, code, got, want)
	}
}

func (h *testHost) wantCode(url string, want int) {
	h.t.Helper()
	if code, got := h.get(url); code != want {
		h.t.Errorf("GET %s: %d %q, want %d", url, code, got, want)
	}
}

// app returns what Apps reports of one application; its State is "" if there is none.
func (h *testHost) app(display string) AppInfo {
	for _, a := range h.Apps() {
		if MakeName(a.Path, a.Version) == ParseName(display) {
			return a
		}
	}
	return AppInfo{}
}

func (h *testHost) wantState(display string, want State) AppInfo {
	h.t.Helper()
	info := h.app(display)
	if info.State != want {
		h.t.Errorf("%s is %q (%s), want %q", display, info.State, info.Error, want)
	}
	return info
}
