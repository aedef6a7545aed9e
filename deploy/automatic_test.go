package deploy

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The tables of this file are those of "Automatic Deployment - Use cases" of
// Tomcat's documentation and of its TestHostConfigAutomaticDeployment*. The
// artifacts are named as there; "ewar" and "edir" are external bundles, +x is
// a bundle with a context file inside.

const (
	contextPlain = `<Context/>`
	contextInner = `<Context sessionCookieName="inner"/>`
)

// place makes the artifacts that a row starts with.
func (h *testHost) place(artifacts string) {
	h.t.Helper()
	for _, a := range strings.Fields(artifacts) {
		h.placeOne(a)
	}
}

func (h *testHost) placeOne(artifact string) {
	h.t.Helper()
	switch artifact {
	case "xml":
		h.write("conf/app.xml", contextPlain)
	case "xml-ewar":
		h.write("conf/app.xml", fmt.Sprintf(`<Context docBase="%s"/>`, h.path("external/ext.war")))
	case "xml-edir":
		h.write("conf/app.xml", fmt.Sprintf(`<Context docBase="%s"/>`, h.path("external/ext")))
	case "war":
		h.zip("webapps/app.war", "war")
	case "war+x":
		h.zip("webapps/app.war", "war", "META-INF/context.xml", contextInner)
	case "dir":
		h.write("webapps/app/index.txt", "dir")
	case "dir+x":
		h.write("webapps/app/index.txt", "dir")
		h.write("webapps/app/META-INF/context.xml", contextInner)
	case "ewar":
		h.zip("external/ext.war", "ewar")
	case "edir":
		h.write("external/ext/index.txt", "edir")
	default:
		h.t.Fatalf("unknown artifact %q", artifact)
	}
}

// present lists what is there, in the order of the tables.
func (h *testHost) present() string {
	var there []string
	for _, p := range []struct{ label, path string }{
		{"xml", "conf/app.xml"}, {"war", "webapps/app.war"}, {"dir", "webapps/app"}, {"ewar", "external/ext.war"}, {"edir", "external/ext"},
	} {
		if h.has(p.path) {
			there = append(there, p.label)
		}
	}
	return strings.Join(there, " ")
}

// either runs a row with a setting both off and on.
func either(value string) []bool {
	switch value {
	case "*":
		return []bool{false, true}
	case "T":
		return []bool{true}
	}
	return []bool{false}
}

// settings3 calls f for all settings that a row stands for.
func settings3(t *testing.T, label, deployXML, copyXML, unpack string, f func(t *testing.T, deployXML, copyXML, unpack bool)) {
	for _, d := range either(deployXML) {
		for _, c := range either(copyXML) {
			for _, u := range either(unpack) {
				t.Run(fmt.Sprintf("%s/deployXML=%v,copyXML=%v,unpack=%v", label, d, c, u), func(t *testing.T) { f(t, d, c, u) })
			}
		}
	}
}

func (o *Options) apply(deployXML, copyXML, unpack bool) {
	o.NoDeployXML, o.CopyXML, o.NoUnpack = !deployXML, copyXML, !unpack
}

func TestAutomaticNew(t *testing.T) {
	tests := []struct {
		start, deployXML, copyXML, unpack string
		want                              string
		state                             State
	}{
		{"xml", "*", "*", "*", "xml", Failed},
		{"xml-ewar ewar", "*", "*", "F", "xml ewar", Running},
		{"xml-ewar ewar", "*", "*", "T", "xml dir ewar", Running},
		{"xml-edir edir", "*", "*", "*", "xml edir", Running},
		{"war+x", "F", "*", "F", "war", Failed},
		{"war+x", "F", "*", "T", "war dir", Failed},
		{"war+x", "T", "F", "F", "war", Running},
		{"war+x", "T", "F", "T", "war dir", Running},
		{"war+x", "T", "T", "F", "xml war", Running},
		{"war+x", "T", "T", "T", "xml war dir", Running},
		{"war", "*", "*", "F", "war", Running},
		{"war", "*", "*", "T", "war dir", Running},
		{"dir+x", "F", "*", "*", "dir", Failed},
		{"dir+x", "T", "F", "*", "dir", Running},
		{"dir+x", "T", "T", "*", "xml dir", Running},
		{"dir", "*", "*", "*", "dir", Running},
	}
	for _, tt := range tests {
		settings3(t, tt.start, tt.deployXML, tt.copyXML, tt.unpack, func(t *testing.T, d, c, u bool) {
			// Both ways lead to the same: there at the start, or dropped later.
			for _, later := range []bool{false, true} {
				h := newTestHost(t, func(o *Options) { o.apply(d, c, u) })
				if !later {
					h.place(tt.start)
				}
				h.start()
				if later {
					h.place(tt.start)
					h.scan2()
				}
				if got := h.present(); got != tt.want {
					t.Errorf("later=%v: %q is there, want %q", later, got, tt.want)
				}
				h.wantState("/app", tt.state)
				before := h.world.take()
				h.scan2()
				if again := h.world.take(); len(again) > 0 || h.present() != tt.want {
					t.Errorf("later=%v: nothing has changed after %v, yet %v and %q", later, before, again, h.present())
				}
			}
		})
	}
}

func (h *testHost) deleteOne(artifact string) {
	h.t.Helper()
	h.delete(map[string]string{
		"xml": "conf/app.xml", "war": "webapps/app.war", "dir": "webapps/app", "ewar": "external/ext.war", "edir": "external/ext",
	}[artifact])
}

func TestAutomaticDeleted(t *testing.T) {
	tests := []struct {
		start, remove              string
		deployXML, copyXML, unpack string
		want                       string
		state                      State // "" is undeployed
		text                       string
	}{
		{"dir", "dir", "*", "*", "*", "", "", ""},
		{"war", "war", "*", "*", "F", "", "", ""},
		{"war", "dir", "*", "*", "T", "war dir", Running, "war"},
		{"war", "war", "*", "*", "T", "", "", ""},
		{"xml", "xml", "*", "*", "*", "", "", ""},
		{"xml dir", "dir", "F", "*", "*", "xml", Failed, ""},
		{"xml dir", "dir", "T", "F", "*", "xml", Failed, ""},
		{"xml dir", "dir", "T", "T", "*", "", "", ""},
		{"xml dir", "xml", "*", "*", "*", "dir", Running, "dir"},
		{"xml dir+x", "xml", "T", "F", "*", "dir", Running, "dir"},
		{"xml dir+x", "xml", "T", "T", "*", "xml dir", Running, "dir"},
		// The bundle is refused as it is now; what was deployed goes on.
		{"xml dir+x", "xml", "F", "*", "*", "dir", Failed, "dir"},
		{"xml war", "war", "T", "F", "F", "xml", Failed, ""},
		{"xml war", "war", "T", "T", "F", "", "", ""},
		{"xml war", "xml", "*", "*", "F", "war", Running, "war"},
		{"xml war+x", "xml", "T", "T", "F", "xml war", Running, "war"},
		{"xml war", "dir", "*", "F", "T", "xml war dir", Running, "war"},
		{"xml war+x", "dir", "T", "T", "T", "xml war dir", Running, "war"},
		{"xml war", "war", "T", "T", "T", "", "", ""},
		{"xml war", "war", "T", "F", "T", "xml", Failed, ""},
		{"xml war", "xml", "*", "*", "T", "war dir", Running, "war"},
		{"xml war+x", "xml", "T", "T", "T", "xml war dir", Running, "war"},
		{"xml-ewar ewar", "ewar", "*", "*", "F", "xml", Failed, ""},
		{"xml-ewar ewar", "xml", "*", "*", "F", "ewar", "", ""},
		{"xml-edir edir", "edir", "*", "*", "*", "xml", Failed, ""},
		{"xml-edir edir", "xml", "*", "*", "*", "edir", "", ""},
		{"xml-ewar ewar", "dir", "*", "*", "T", "xml dir ewar", Running, "ewar"},
		{"xml-ewar ewar", "ewar", "*", "*", "T", "xml", Failed, ""},
		{"xml-ewar ewar", "xml", "*", "*", "T", "ewar", "", ""},
	}
	for _, tt := range tests {
		settings3(t, tt.start+" without "+tt.remove, tt.deployXML, tt.copyXML, tt.unpack, func(t *testing.T, d, c, u bool) {
			h := newTestHost(t, func(o *Options) { o.apply(d, c, u) })
			h.place(tt.start)
			h.start()
			h.deleteOne(tt.remove)
			h.scan2()
			if got := h.present(); got != tt.want {
				t.Errorf("%q is left, want %q", got, tt.want)
			}
			h.wantState("/app", tt.state)
			if tt.text != "" {
				h.wantText("/app/", tt.text)
			} else {
				h.wantCode("/app/", 404)
			}
		})
	}
}

// modify changes an artifact and its content, except a folder's.
func (h *testHost) modify(artifact string) {
	h.t.Helper()
	switch artifact {
	case "xml":
		h.touch("conf/app.xml")
	case "war":
		h.zip("webapps/app.war", "war2")
	case "ewar":
		h.zip("external/ext.war", "war2")
	case "dir":
		h.touch("webapps/app")
	case "edir":
		h.touch("external/ext")
	}
}

func TestAutomaticModified(t *testing.T) {
	tests := []struct {
		start, modify, unpack string
		want                  string
		action                action
		text                  string
	}{
		{"dir", "dir", "*", "dir", actNone, "dir"},
		{"war", "war", "F", "war", actRedeploy, "war2"},
		{"war", "dir", "T", "war dir", actNone, "war"},
		{"war", "war", "T", "war dir", actRedeploy, "war2"},
		{"xml-edir edir", "xml", "*", "xml edir", actRedeploy, "edir"},
		{"xml dir", "dir", "*", "xml dir", actNone, "dir"},
		{"xml dir", "xml", "*", "xml dir", actRedeploy, "dir"},
		{"xml war", "war", "F", "xml war", actReload, "war2"},
		{"xml war", "xml", "F", "xml war", actRedeploy, "war"},
		{"xml war", "dir", "T", "xml war dir", actNone, "war"},
		{"xml war", "war", "T", "xml war dir", actReload, "war2"},
		{"xml war", "xml", "T", "xml war dir", actRedeploy, "war"},
		{"xml-ewar ewar", "ewar", "F", "xml ewar", actReload, "war2"},
		{"xml-ewar ewar", "xml", "F", "xml ewar", actRedeploy, "ewar"},
		{"xml-edir edir", "edir", "*", "xml edir", actNone, "edir"},
		{"xml-ewar ewar", "dir", "T", "xml dir ewar", actNone, "ewar"},
		{"xml-ewar ewar", "ewar", "T", "xml dir ewar", actReload, "war2"},
		{"xml-ewar ewar", "xml", "T", "xml dir ewar", actRedeploy, "ewar"},
	}
	for _, tt := range tests {
		settings3(t, tt.start+" with new "+tt.modify, "T", "F", tt.unpack, func(t *testing.T, d, c, u bool) {
			h := newTestHost(t, func(o *Options) { o.apply(d, c, u) })
			h.place(tt.start)
			h.start()
			a := h.apps[ParseName("/app")]
			h.modify(tt.modify)
			found, err := h.list()
			if err != nil {
				t.Fatal(err)
			}
			if got := decide(a.origin, a.tried, h.complete(a, found[a.name])).action; got != tt.action {
				t.Errorf("decided to %v, want %v", got, tt.action)
			}
			h.scan2()
			if got := h.present(); got != tt.want {
				t.Errorf("%q is left, want %q", got, tt.want)
			}
			h.wantText("/app/", tt.text)
			generations := 1
			if tt.action != actNone {
				generations = 2
			}
			if got := h.wantState("/app", Running).Generation; got != generations {
				t.Errorf("generation %d, want %d", got, generations)
			}
		})
	}
}

func TestAutomaticAdded(t *testing.T) {
	tests := []struct {
		start, add, unpack string
		want               string
		text               string
		generations        int
	}{
		{"dir", "war", "T", "war dir", "war", 2},
		{"dir", "war", "F", "war", "war", 2},
		{"dir", "xml", "*", "xml dir", "dir", 2},
		{"dir", "ewar xml-ewar", "T", "xml dir ewar", "ewar", 2},
		{"dir", "ewar xml-ewar", "F", "xml ewar", "ewar", 2},
		{"dir", "edir xml-edir", "*", "xml edir", "edir", 2},
		{"dir", "dir+x", "*", "dir", "dir", 2},
		{"war", "dir", "F", "war dir", "war", 1},
		{"war", "xml", "F", "xml war", "war", 2},
		{"war", "xml", "T", "xml war dir", "war", 2},
		{"war", "ewar xml-ewar", "F", "xml ewar", "ewar", 2},
		{"war", "ewar xml-ewar", "T", "xml dir ewar", "ewar", 2},
		{"war", "edir xml-edir", "*", "xml edir", "edir", 2},
		{"xml", "war", "F", "xml war", "war", 1},
		{"xml", "war", "T", "xml war dir", "war", 1},
		{"xml", "dir", "*", "xml dir", "dir", 1},
		{"xml dir", "war", "T", "xml war dir", "war", 2},
		{"xml dir", "war", "F", "xml war", "war", 2},
		{"xml war", "dir", "F", "xml war dir", "war", 1},
		{"xml-ewar ewar", "war", "F", "xml war ewar", "ewar", 1},
		{"xml-ewar ewar", "war", "T", "xml war dir ewar", "ewar", 1},
		{"xml-ewar ewar", "dir", "F", "xml dir ewar", "ewar", 1},
		{"xml-edir edir", "war", "*", "xml war edir", "edir", 1},
		{"xml-edir edir", "dir", "*", "xml dir edir", "edir", 1},
	}
	for _, tt := range tests {
		settings3(t, tt.start+" then "+tt.add, "T", "F", tt.unpack, func(t *testing.T, d, c, u bool) {
			h := newTestHost(t, func(o *Options) { o.apply(d, c, u) })
			h.place(tt.start)
			h.start()
			h.place(tt.add)
			h.scan2()
			if got := h.present(); got != tt.want {
				t.Errorf("%q is there, want %q", got, tt.want)
			}
			h.wantText("/app/", tt.text)
			if got := h.wantState("/app", Running).Generation; got != tt.generations {
				t.Errorf("generation %d, want %d", got, tt.generations)
			}
			h.world.take()
			h.scan2()
			if again := h.world.take(); len(again) > 0 {
				t.Errorf("nothing has changed, yet %v", again)
			}
		})
	}
}

// TestWARChangedWhileDown: a folder that was unpacked from an older zip is
// unpacked again; one that is up to date, or somebody's own, is taken as it is.
func TestWARChangedWhileDown(t *testing.T) {
	h := newTestHost(t, nil)
	h.place("war")
	h.start()
	h.wantText("/app/", "war")
	h.write("webapps/app/index.txt", "edited")
	restart := func() {
		t.Helper()
		if err := h.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		h.restart()
	}
	restart()
	h.start()
	h.wantText("/app/", "edited")
	restart()
	h.modify("war")
	h.start()
	h.wantText("/app/", "war2")
	restart()
	h.write("webapps/app/index.txt", "own")
	h.delete("webapps/app/META-INF")
	h.modify("war")
	h.start()
	h.wantText("/app/", "own")
}

// TestUnpackPrecedence: a zip is unpacked if host and context agree to it; what
// the context does not say, the defaults say.
func TestUnpackPrecedence(t *testing.T) {
	attr := func(value string) string {
		if value == "" {
			return "<Context/>"
		}
		return fmt.Sprintf(`<Context unpackWAR="%s"/>`, value)
	}
	for _, host := range []bool{true, false} {
		for _, context := range []string{"", "true", "false"} {
			for _, defaults := range []string{"", "true", "false"} {
				for _, external := range []bool{true, false} {
					h := newTestHost(t, func(o *Options) {
						o.NoUnpack = !host
						o.ContextDefaults = []string{filepath.Join(o.AppBase, "../context.xml")}
					})
					h.write("context.xml", attr(defaults))
					if external {
						h.zip("webapps/app.war", "war")
						h.write("conf/app.xml", attr(context))
					} else {
						h.zip("webapps/app.war", "war", "META-INF/context.xml", attr(context))
					}
					h.start()
					h.wantText("/app/", "war")
					want := host && context != "false" && (context == "true" || defaults != "false")
					if got := h.has("webapps/app"); got != want {
						t.Errorf("host %v, context %q, defaults %q, external %v: unpacked %v, want %v", host, context, defaults, external, got, want)
					}
				}
			}
		}
	}
}

// TestCopyPrecedence: a context file is copied if host, context or defaults ask
// for it; the context counts more than the defaults.
func TestCopyPrecedence(t *testing.T) {
	for _, host := range []bool{true, false} {
		for _, context := range []string{"", "true", "false"} {
			for _, defaults := range []string{"", "true", "false"} {
				h := newTestHost(t, func(o *Options) {
					o.CopyXML = host
					o.ContextDefaults = []string{filepath.Join(o.AppBase, "../none.xml"), filepath.Join(o.AppBase, "../context.xml")}
				})
				attr := func(value string) string {
					if value == "" {
						return "<Context/>"
					}
					return fmt.Sprintf(`<Context copyXML="%s"/>`, value)
				}
				if defaults != "" {
					h.write("context.xml", attr(defaults))
				}
				h.zip("webapps/app.war", "war", "META-INF/context.xml", attr(context))
				h.start()
				h.wantText("/app/", "war")
				want := host || context == "true" || context == "" && defaults == "true"
				if got := h.has("conf/app.xml"); got != want {
					t.Errorf("host %v, context %q, defaults %q: copied %v, want %v", host, context, defaults, got, want)
				}
			}
		}
	}
}

// TestReplacedFolderIsKept: a zip takes the place of a folder of its name, but
// the folder may be somebody's work.
func TestReplacedFolderIsKept(t *testing.T) {
	h := newTestHost(t, nil)
	h.place("dir")
	h.start()
	h.place("war")
	h.scan2()
	h.wantText("/app/", "war")
	if b, err := os.ReadFile(h.path("work/.replaced/app/index.txt")); err != nil || string(b) != "dir" {
		t.Errorf("kept %q, %v", b, err)
	}
	h.modify("war")
	h.scan2()
	h.wantText("/app/", "war2")
	if b, err := os.ReadFile(h.path("work/.replaced/app/index.txt")); err != nil || string(b) != "dir" {
		t.Errorf("an unpacked folder has taken its place: %q, %v", b, err)
	}
	if left, _ := os.ReadDir(h.path("webapps")); len(left) != 2 {
		t.Errorf("left in the appBase: %v", left)
	}
}
