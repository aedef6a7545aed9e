package descriptor

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// LoadOptions says how a bundle is read. The zero value is a bundle with the
// standard file names, Serval's built-in defaults and no environment.
type LoadOptions struct {
	// Defaults is the model of conf/web.toml; nil is [BuiltinDefaults].
	Defaults *WebApp
	// DefaultContexts are conf/context.toml and the host's context.toml.default;
	// the bundle's own attributes win, the first of the list wins over later ones.
	DefaultContexts []*ContextFile
	// Context replaces the bundle's META-INF/context.xml (a file in
	// conf/<engine>/<host>/ does). Nil: the bundle's own counts.
	Context *ContextFile
	// IgnoreContext leaves META-INF/context.xml|toml unread (deployXML = false).
	IgnoreContext bool
	// Env resolves ${name} placeholders; nil resolves none.
	Env func(string) (string, bool)
	// Prefix is put before file names in positions, for instance "webapps/shop/".
	Prefix string
	// WebXML, WebTOML, JBossWeb, ContextXML and ContextTOML replace the
	// standard names within the bundle.
	WebXML, WebTOML, JBossWeb, ContextXML, ContextTOML string
}

func (o LoadOptions) withDefaults() LoadOptions {
	fillIn(&o.WebXML, "WEB-INF/web.xml")
	fillIn(&o.WebTOML, "WEB-INF/web.toml")
	fillIn(&o.JBossWeb, "WEB-INF/jboss-web.xml")
	fillIn(&o.ContextXML, "META-INF/context.xml")
	fillIn(&o.ContextTOML, "META-INF/context.toml")
	if o.Defaults == nil {
		o.Defaults = BuiltinDefaults()
	}
	return o
}

// loader reads the files of one bundle.
type loader struct {
	fsys  fs.FS
	opts  LoadOptions
	diags Diagnostics
}

// Load reads and validates all descriptors of a bundle. The model is never nil; it must
// not be deployed if the diagnostics have errors. A bundle without any
// descriptor is valid: its model is the defaults.
func Load(fsys fs.FS, opts LoadOptions) (*WebApp, Diagnostics) {
	l := &loader{fsys: fsys, opts: opts.withDefaults()}
	app := l.web()
	ownTimeout := app.SessionConfig.Timeout != 0
	l.vendor(app)
	m := newMerger(app, &l.diags)
	if frags := l.fragments(app); len(frags) > 0 {
		ownTimeout = ownTimeout || hasTimeout(frags)
		m.fragments(frags)
	}
	m.defaults(l.opts.Defaults)
	app.Context = *l.context()
	app.applyContext(ownTimeout)
	app.finish(&l.diags)
	l.diags.sort()
	return app, l.diags
}

func hasTimeout(frags []*WebApp) bool {
	for _, f := range frags {
		if f.SessionConfig.Timeout != 0 {
			return true
		}
	}
	return false
}

// finish fills in Serval's own defaults and validates the merged whole.
func (w *WebApp) finish(ds *Diagnostics) {
	if w.SessionConfig.Timeout == 0 {
		w.SessionConfig.Timeout = DefaultSessionTimeout
	}
	for i := range w.FilterMappings {
		if len(w.FilterMappings[i].Dispatchers) == 0 {
			w.FilterMappings[i].Dispatchers = []Dispatcher{DispatchRequest}
		}
	}
	r := reader{}
	w.Runtime.fromParams(&r, w.ContextParams)
	*ds = append(*ds, r.diags...)
	w.translate()
	w.Replication.withDefaults()
	w.validate(ds, scopeWhole)
	w.Replication.check(ds, w)
	w.JBoss.check(ds, w)
}

// maxFile bounds a descriptor. The XML and TOML readers have bounds of their own.
const maxFile = 8 << 20

// read returns a file of the bundle; ok is false if it is not there.
func (l *loader) read(name string) (data []byte, ok bool) {
	data, err := readFile(l.fsys, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, false
	case err != nil:
		l.diags.add(Pos{File: l.opts.Prefix + name}, SeverityError, KindConfig, "reading the descriptor: %v", err)
		return nil, false
	}
	return data, true
}

func readFile(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s has more than %d bytes", path.Base(name), maxFile)
	}
	return data, nil
}

// either reads the XML or the TOML form of a descriptor; having both is an error.
func (l *loader) either(xmlName, tomlName string) (name string, data []byte) {
	x, hasXML := l.read(xmlName)
	t, hasTOML := l.read(tomlName)
	switch {
	case hasXML && hasTOML:
		l.diags.add(Pos{File: l.opts.Prefix + tomlName}, SeverityError, KindConfig, "the bundle has both %s and %s; keep one of them", xmlName, tomlName)
		return xmlName, x
	case hasXML:
		return xmlName, x
	case hasTOML:
		return tomlName, t
	}
	return "", nil
}

func (l *loader) web() *WebApp {
	name, data := l.either(l.opts.WebXML, l.opts.WebTOML)
	if name == "" {
		return &WebApp{}
	}
	app, ds := parseWeb(l.opts.Prefix+name, data, l.opts.Env, "web-app")
	l.diags = append(l.diags, ds...)
	return app
}

// vendor reads the files that only other servers know, into what web.toml may have said.
func (l *loader) vendor(app *WebApp) {
	declaredAt := app.Replication.Pos
	for _, name := range []string{l.opts.JBossWeb, "META-INF/jboss-all.xml", "WEB-INF/distributable-web.xml"} {
		data, ok := l.read(name)
		if !ok {
			continue
		}
		var found Replication
		x := &jbossXML{xmlReader: xmlReader{reader: reader{file: l.opts.Prefix + name, env: l.opts.Env}}, replication: &found, jboss: &app.JBoss}
		if doc := x.open(data); doc != nil {
			x.decode(doc.Root)
		}
		l.diags = append(l.diags, x.diags...)
		switch {
		case found.Pos.IsZero():
		case declaredAt.IsZero():
			app.Replication, declaredAt = found, found.Pos
		default:
			l.diags.add(found.Pos, SeverityError, KindConfig, "replication is configured here and at %s; keep one of them", declaredAt)
		}
	}
}

// context finds the context file that counts and fills it from the defaults.
func (l *loader) context() *ContextFile {
	ctx := l.opts.Context
	if ctx == nil {
		ctx = &ContextFile{}
		if !l.opts.IgnoreContext {
			if name, data := l.either(l.opts.ContextXML, l.opts.ContextTOML); name != "" {
				var ds Diagnostics
				ctx, ds = ParseContext(l.opts.Prefix+name, data, l.opts.Env)
				l.diags = append(l.diags, ds...)
			}
		}
	}
	c := *ctx
	if c.Override == nil || !*c.Override {
		for _, def := range l.opts.DefaultContexts {
			c.fill(def)
		}
	}
	return &c
}

// isTOML tells the syntax of a file: by its name, of other names by the first character.
func isTOML(name string, data []byte) bool {
	switch path.Ext(strings.TrimSuffix(strings.ToLower(name), ".default")) {
	case ".toml":
		return true
	case ".xml":
		return false
	}
	trimmed := bytes.TrimLeft(data, "\xEF\xBB\xBF\xFE\xFF\x00 \t\r\n")
	return len(trimmed) > 0 && trimmed[0] != '<'
}

// ParseWeb reads a lone web.xml, web-fragment.xml or web.toml (by its name or content), for
// instance conf/web.toml. It does not merge defaults.
func ParseWeb(name string, data []byte, env func(string) (string, bool)) (*WebApp, Diagnostics) {
	app, ds := parseWeb(name, data, env, "")
	ds.sort()
	return app, ds
}

// parseWeb reads one web descriptor. root is the root element it must have, "" for any.
func parseWeb(name string, data []byte, env func(string) (string, bool), root string) (*WebApp, Diagnostics) {
	app := &WebApp{Pos: Pos{File: name}}
	r := reader{file: name, env: env}
	if isTOML(name, data) {
		t := &webTOML{tomlReader: tomlReader{reader: r}, app: app, fragment: root == "web-fragment"}
		if doc := t.open(data); doc != nil {
			t.decode(doc)
			app.checkFile(&t.diags)
		}
		return app, t.diags
	}
	x := &webXML{xmlReader: xmlReader{reader: r}, app: app}
	doc := x.open(data)
	if doc == nil {
		return app, x.diags
	}
	switch {
	case root != "" && doc.Root.Local != root, doc.Root.Local != "web-app" && doc.Root.Local != "web-fragment":
		if root == "" {
			root = "web-app"
		}
		x.errorf(x.at(doc.Root.Pos), "the root element is <%s>; it must be <%s>", doc.Root.Local, root)
	case doc.Root.Space != "" && family(doc.Root.Space) != familyServlet:
		x.errorf(x.at(doc.Root.Pos), "the root element is in the namespace %q, which is not the servlet descriptors' (\"https://jakarta.ee/xml/ns/jakartaee\" is)", doc.Root.Space)
	default:
		x.decode(doc)
		app.checkFile(&x.diags)
	}
	return app, x.diags
}

// ParseContext reads a lone context.xml or context.toml.
func ParseContext(name string, data []byte, env func(string) (string, bool)) (*ContextFile, Diagnostics) {
	ctx := &ContextFile{}
	r := reader{file: name, env: env}
	if isTOML(name, data) {
		t := &contextTOML{tomlReader: tomlReader{reader: r}, ctx: ctx}
		if doc := t.open(data); doc != nil {
			t.decode(doc)
		}
		t.diags.sort()
		return ctx, t.diags
	}
	x := &contextXML{xmlReader: xmlReader{reader: r}, ctx: ctx}
	if doc := x.open(data); doc != nil {
		if doc.Root.Local != "Context" {
			x.errorf(x.at(doc.Root.Pos), "the root element is <%s>; it must be <Context>", doc.Root.Local)
		} else {
			x.decode(doc.Root)
		}
	}
	x.diags.sort()
	return ctx, x.diags
}
