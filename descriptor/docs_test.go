package descriptor

import (
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/serval-server/serval/conf"
	"github.com/serval-server/serval/descriptor/tomltree"
)

// TestDocumented looks for every element, attribute and key in docs/descriptors.md.
func TestDocumented(t *testing.T) {
	data, err := os.ReadFile("../docs/descriptors.md")
	if err != nil {
		t.Fatal(err)
	}
	docs := string(data)
	names := map[string]bool{"serialized": true, "non-serializable": true, "before": true, "after": true, "context-root": true}
	add := func(all ...string) {
		for _, n := range all {
			names[n] = true
		}
	}
	x := &webXML{app: &WebApp{}}
	for n := range x.rootHandlers() {
		if !strings.HasSuffix(n, "-icon") {
			add(n)
		}
	}
	add(slices.Collect(maps.Keys(replicationKeys))...)
	add(slices.Collect(maps.Keys(passivationKeys))...)
	add(slices.Collect(maps.Keys(runtimeKeys))...)
	for n := range contextKeys {
		add(n, kebab(n))
	}
	for n := range resourcesKeys {
		if n != "cacheTtl" { // a second spelling
			add(n, kebab(n))
		}
	}
	for _, file := range []string{"WEB-INF/web.toml", "META-INF/context.toml"} {
		add(keysOf(t, file)...)
	}
	for _, kind := range []ComponentKind{ServletComponent, FilterComponent} {
		add(slices.Collect(maps.Values(javaClasses[kind]))...)
	}
	for _, n := range slices.Sorted(maps.Keys(names)) {
		if !strings.Contains(docs, n) {
			t.Errorf("%q is not in docs/descriptors.md", n)
		}
	}
}

// keysOf lists the keys of a file of the golden archive that says all there is to say.
func keysOf(t *testing.T, file string) []string {
	t.Helper()
	ar, err := parseArchive("testdata/golden/full-toml.txtar")
	if err != nil {
		t.Fatal(err)
	}
	fsys, _ := unpack(ar)
	root, err := tomltree.Parse(fsys[file].Data)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	free := []string{"context-params", "init", "attributes", "mime-types", "locale-encodings", "env", "role-refs"}
	var walk func(n *tomltree.Node)
	walk = func(n *tomltree.Node) {
		for _, c := range n.Children {
			if c.Key != "" && !slices.Contains(free, n.Key) {
				out = append(out, c.Key)
			}
			walk(c)
		}
	}
	walk(root)
	return out
}

// TestShippedDefaults: conf/web.toml says what holds without it.
func TestShippedDefaults(t *testing.T) {
	shipped, ds := ParseWeb("conf/web.toml", conf.Web, nil)
	if len(ds) > 0 {
		t.Fatal(ds)
	}
	if got, want := plain(t, shipped), plain(t, BuiltinDefaults()); !reflect.DeepEqual(got, want) {
		t.Errorf("conf/web.toml says\n%v\nwithout it holds\n%v", got, want)
	}
}

// TestDocumentedExamples: the TOML column of the examples in the documentation is one valid file.
func TestDocumentedExamples(t *testing.T) {
	data, err := os.ReadFile("../docs/descriptors.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, block := range strings.Split(string(data), "\n\n") {
		toml, ok := rightColumn(block)
		if !ok {
			continue
		}
		n++
		_, ds := ParseWeb("web.toml", []byte(toml), nil)
		for _, d := range ds.Errors() {
			// An example of two ways that exclude each other.
			if !strings.Contains(d.Message, "only one of them") {
				t.Errorf("%s\nin\n%s", d, toml)
			}
		}
	}
	if n < 6 {
		t.Errorf("only %d examples were found", n)
	}
}

// rightColumn takes the TOML out of an example in two columns: it begins where the first table header,
// or the first key, stands to the right of an element.
func rightColumn(block string) (string, bool) {
	if !strings.HasPrefix(block, "    <") {
		return "", false
	}
	lines := strings.Split(block, "\n")
	at := -1
	for _, l := range lines {
		if i := strings.Index(l, "  ["); i > 0 && (at < 0 || i+2 < at) {
			at = i + 2
		}
	}
	var b strings.Builder
	for _, l := range lines {
		if len(l) > at {
			b.WriteString(l[at:] + "\n")
		}
	}
	return b.String(), at > 0
}
