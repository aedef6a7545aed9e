package descriptor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// seedGolden adds the files of a name from the golden archives.
func seedGolden(f *testing.F, suffix string) {
	files, _ := filepath.Glob("testdata/golden/*.txtar")
	for _, file := range files {
		ar, err := parseArchive(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, e := range ar.Files {
			if strings.HasSuffix(e.Name, suffix) {
				f.Add(e.Data)
			}
		}
	}
}

// seedCorpus adds small real files where the corpus is there.
func seedCorpus(f *testing.F, pattern string) {
	files, _ := filepath.Glob("../../shared/corpus/" + pattern)
	for _, file := range files {
		if data, err := os.ReadFile(file); err == nil && len(data) < 4000 {
			f.Add(data)
		}
	}
}

// checkFindings holds what must be true of the findings about any bytes: each has a place
// in the file, they are in order, and they are the same every time.
func checkFindings(t *testing.T, name string, data []byte) Diagnostics {
	t.Helper()
	ds := CheckFile(name, data)
	for i, d := range ds {
		if d.Pos.File != name || d.Pos.Line < 1 || d.Pos.Col < 1 || d.Message == "" || d.Kind == "" {
			t.Errorf("a finding without place or words: %#v", d)
		}
		if i > 0 && d.Pos.Line < ds[i-1].Pos.Line {
			t.Errorf("findings are not in order: %s", ds)
		}
		if d.Kind == KindSyntax && len(ds.Errors()) > 1 {
			t.Errorf("a file that cannot be read has more errors: %s", ds)
		}
	}
	if again := CheckFile(name, data); again.String() != ds.String() {
		t.Errorf("a second look finds\n%s\nnot\n%s", again, ds)
	}
	return ds
}

// checkLoad loads a bundle of the one file and looks at what every model must keep to.
func checkLoad(t *testing.T, name string, data []byte) {
	t.Helper()
	app, ds := Load(bundle(map[string]string{name: string(data)}), LoadOptions{Env: testEnv})
	if ds.HasErrors() {
		return
	}
	if app.SessionConfig.Timeout == 0 || app.Replication.Trigger == "" || app.Replication.SnapshotMode == "" {
		t.Errorf("defaults are missing: %+v", app)
	}
	patterns := map[string]string{}
	for _, m := range app.ServletMappings {
		if app.servlet(m.Servlet) == nil {
			t.Errorf("the servlet %q is mapped and not declared", m.Servlet)
		}
		for _, p := range m.Patterns {
			if owner, ok := patterns[p.URL]; ok && owner != m.Servlet {
				t.Errorf("the pattern %q has two servlets", p.URL)
			}
			patterns[p.URL] = m.Servlet
		}
	}
	for _, m := range app.FilterMappings {
		if app.filter(m.Filter) == nil || len(m.Dispatchers) == 0 {
			t.Errorf("bad filter mapping %+v", m)
		}
	}
	for _, p := range app.ErrorPages {
		if !strings.HasPrefix(p.Location, "/") && !strings.Contains(p.Location, "${") && !strings.Contains(p.Location, "@") {
			t.Errorf("bad error page %+v", p)
		}
	}
}

// FuzzWebXML reads any bytes as web.xml.
func FuzzWebXML(f *testing.F) {
	seedGolden(f, "web.xml")
	seedGolden(f, "web-fragment.xml")
	seedCorpus(f, "web/*.xml")
	seedCorpus(f, "broken/*.xml")
	f.Fuzz(func(t *testing.T, data []byte) {
		checkFindings(t, "web.xml", data)
		checkLoad(t, "WEB-INF/web.xml", data)
	})
}

// FuzzJBossWebXML reads any bytes as jboss-web.xml.
func FuzzJBossWebXML(f *testing.F) {
	seedGolden(f, "jboss-web.xml")
	seedGolden(f, "jboss-all.xml")
	seedCorpus(f, "jboss/*.xml")
	f.Fuzz(func(t *testing.T, data []byte) {
		checkFindings(t, "jboss-web.xml", data)
		checkLoad(t, "WEB-INF/jboss-web.xml", data)
	})
}

// FuzzContextXML reads any bytes as context.xml.
func FuzzContextXML(f *testing.F) {
	seedGolden(f, "context.xml")
	seedCorpus(f, "context/*.xml")
	f.Fuzz(func(t *testing.T, data []byte) {
		checkFindings(t, "context.xml", data)
		checkLoad(t, "META-INF/context.xml", data)
	})
}

// FuzzWebTOML reads any bytes as web.toml.
func FuzzWebTOML(f *testing.F) {
	seedGolden(f, "web.toml")
	f.Fuzz(func(t *testing.T, data []byte) {
		checkFindings(t, "web.toml", data)
		checkLoad(t, "WEB-INF/web.toml", data)
	})
}

// FuzzContextTOML reads any bytes as context.toml.
func FuzzContextTOML(f *testing.F) {
	seedGolden(f, "context.toml")
	f.Fuzz(func(t *testing.T, data []byte) {
		checkFindings(t, "context.toml", data)
		checkLoad(t, "META-INF/context.toml", data)
	})
}
