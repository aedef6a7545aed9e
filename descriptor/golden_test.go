package descriptor

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestGolden loads the bundle in each testdata/golden/*.txtar and compares what is found and the
// model with the archive's last two files, "want" and "model". Of the model
// it shows what differs from an empty bundle's, without places.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			ar, err := parseArchive(file)
			if err != nil {
				t.Fatal(err)
			}
			fsys, want := unpack(ar)
			app, ds := Load(fsys, LoadOptions{Env: testEnv})
			got := map[string]string{"want": ds.String(), "model": dumpModel(t, app)}
			for _, name := range []string{"want", "model"} {
				w, asked := want[name]
				if !asked || w == got[name] || *update {
					continue
				}
				t.Errorf("%s: got\n%s\nwant\n%s", name, got[name], w)
			}
			if *update {
				rewrite(t, file, ar, got)
			}
		})
	}
}

// testEnv is the environment of the golden tests.
func testEnv(name string) (string, bool) {
	v, ok := map[string]string{"SHOP_TIMEOUT": "45", "SHOP_NAME": "Corner shop"}[name]
	return v, ok
}

// archive is a comment and files, in the txtar format: each file follows a line
// "-- name --".
type archive struct {
	Comment string
	Files   []archiveFile
}

type archiveFile struct {
	Name string
	Data []byte
}

func parseArchive(file string) (*archive, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	ar := &archive{}
	for line := range strings.Lines(string(data)) {
		name, ok := strings.CutPrefix(strings.TrimSpace(line), "-- ")
		if name, found := strings.CutSuffix(name, " --"); ok && found {
			ar.Files = append(ar.Files, archiveFile{Name: name})
			continue
		}
		if len(ar.Files) == 0 {
			ar.Comment += line
			continue
		}
		last := &ar.Files[len(ar.Files)-1]
		last.Data = append(last.Data, line...)
	}
	return ar, nil
}

func (ar *archive) format() []byte {
	b := []byte(ar.Comment)
	for _, f := range ar.Files {
		b = append(b, "-- "+f.Name+" --\n"...)
		b = append(b, f.Data...)
	}
	return b
}

func unpack(ar *archive) (fstest.MapFS, map[string]string) {
	fsys, want := fstest.MapFS{}, map[string]string{}
	for _, f := range ar.Files {
		if f.Name == "want" || f.Name == "model" {
			want[f.Name] = string(f.Data)
			continue
		}
		fsys[f.Name] = &fstest.MapFile{Data: f.Data}
	}
	return fsys, want
}

func rewrite(t *testing.T, file string, ar *archive, got map[string]string) {
	t.Helper()
	for i, f := range ar.Files {
		if g, ok := got[f.Name]; ok {
			ar.Files[i].Data = []byte(g)
		}
	}
	if err := os.WriteFile(file, ar.format(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// dumpModel is a model as JSON without zero values, places, and what every bundle has.
func dumpModel(t *testing.T, app *WebApp) string {
	t.Helper()
	empty, _ := Load(fstest.MapFS{}, LoadOptions{})
	got, base := plain(t, app), plain(t, empty)
	for k, v := range got {
		if reflect.DeepEqual(v, base[k]) {
			delete(got, k)
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(got); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func plain(t *testing.T, app *WebApp) map[string]any {
	t.Helper()
	return toPlain(reflect.ValueOf(*app)).(map[string]any)
}

// toPlain leaves out zero values, places and what is not exported. A pointer to a zero
// value is not zero.
func toPlain(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Pointer:
		return toPlain(v.Elem())
	case reflect.Slice:
		list := []any{}
		for i := range v.Len() {
			list = append(list, toPlain(v.Index(i)))
		}
		return list
	case reflect.Struct:
		m := map[string]any{}
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if f.IsExported() && f.Type != reflect.TypeFor[Pos]() && !v.Field(i).IsZero() {
				m[f.Name] = toPlain(v.Field(i))
			}
		}
		return m
	}
	return v.Interface()
}

// TestSameModel loads full.txtar and full-toml.txtar, which say all there is to say in
// the two syntaxes: the models must be the same.
func TestSameModel(t *testing.T) {
	models := map[string]string{}
	for _, name := range []string{"full", "full-toml"} {
		ar, err := parseArchive("testdata/golden/" + name + ".txtar")
		if err != nil {
			t.Fatal(err)
		}
		fsys, _ := unpack(ar)
		app, ds := Load(fsys, LoadOptions{Env: testEnv})
		if ds.HasErrors() {
			t.Fatalf("%s: %s", name, ds)
		}
		// The runtime's settings are parameters only in XML, and TOML knows no Java names.
		app.ContextParams = slices.DeleteFunc(app.ContextParams, func(p Param) bool { return strings.HasPrefix(p.Name, runtimePrefix) })
		for i := range app.Filters {
			app.Filters[i].JavaClass = ""
		}
		app.Version = ""
		models[name] = dumpModel(t, app)
	}
	if models["full"] != models["full-toml"] {
		t.Errorf("XML gives\n%s\nTOML gives\n%s", models["full"], models["full-toml"])
	}
}
