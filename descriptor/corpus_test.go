package descriptor

import (
	"bytes"
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// corpusDir finds the folder of real descriptors beside the module.
func corpusDir(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			corpus := filepath.Join(filepath.Dir(dir), "shared", "corpus")
			for _, c := range []string{corpus, filepath.Join(filepath.Dir(filepath.Dir(dir)), "shared", "corpus")} {
				if _, err := os.Stat(filepath.Join(c, "INDEX.tsv")); err == nil {
					return c
				}
			}
			break
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("the corpus of real descriptors (../shared/corpus) is missing")
	}
	t.Skip("the corpus of real descriptors (../shared/corpus) is missing")
	return ""
}

// corpusEntry is a line of INDEX.tsv.
type corpusEntry struct{ file, root, version, encoding, form, note string }

func corpusIndex(t testing.TB, dir string) []corpusEntry {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "INDEX.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	var out []corpusEntry
	for _, line := range strings.Split(strings.TrimSpace(string(data)), "\n")[1:] {
		f := strings.Split(line, "\t")
		out = append(out, corpusEntry{file: f[0], root: f[5], version: f[6], encoding: f[7], form: f[9], note: f[10]})
	}
	if len(out) < 300 {
		t.Fatalf("the index has only %d files", len(out))
	}
	return out
}

// corpusErrors are the files that are well-formed and yet wrong, with what is
// said of them; of files of the same kind one mention stands for all its errors.
var corpusErrors = map[string][]string{
	"web/SCADA-LTS__Scada-LTS__1.xml":         {`filter "javamelody", which is not declared`},
	"web/apache__tomcat__12.xml":              {"<name> may be declared only once; line 24"}, // Tomcat's own bad examples
	"web/apache__tomcat__13.xml":              {"<ordering> may be declared only once; line 24"},
	"web/apache__tomcat__9.xml":               {"<absolute-ordering> may be declared only once; line 24"},
	"web/jboss__metadata__1.xml":              {`"/servlet0/*.s" is malformed`, `"/servlet0/*.sx"`, `"/servlet1/*.s"`, `"/servlet1/*.sx"`},
	"web/jboss__metadata__2.xml":              {`"/servlet0/*.s" is malformed`, `"/servlet0/*.sx"`, `"/servlet1/*.s"`, `"/servlet1/*.sx"`},
	"web/jboss__metadata__3.xml":              {`"/servlet0/*.s" is malformed`, `"/servlet0/*.sx"`, `"/servlet1/*.s"`, `"/servlet1/*.sx"`},
	"web/zanata__zanata-server__1.xml":        {`filter "MDCInsertingServletFilter", which is not declared`},
	"web/zanata__zanata-server__2.xml":        {`filter "CharacterEncodingFilter", which is not declared`, `"RestLimitingFilter"`, `"RequestLoggingFilter"`, `"MDCInsertingServletFilter"`},
	"broken/damaged__xxe__1.xml":              {"external entity, which Serval never reads"},
	"broken/jbossas__jboss-as__1.xml":         {"contains a line break"},
	"broken/damaged__deep__1.xml":             {"nested more than 100 deep"},
	"broken/damaged__entity-expansion__1.xml": {"expand to more than"},
}

// parseError finds the line that the index's reference parser (expat) names. It also
// counts the line of an unclosed tag from where it begins.
var parseError = regexp.MustCompile(`PARSE-ERROR: .*: line (\d+), column`)

// TestCorpus reads every file of the corpus: those of web, jboss, context and server parse,
// those of broken that are not well-formed are refused, at the line the index names.
func TestCorpus(t *testing.T) {
	dir := corpusDir(t)
	for _, e := range corpusIndex(t, dir) {
		t.Run(e.file, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join(dir, e.file))
			if err != nil {
				t.Fatal(err)
			}
			ds := CheckFile(e.file, data)
			if m := parseError.FindStringSubmatch(e.form); m != nil {
				line, _ := strconv.Atoi(m[1])
				if len(ds) != 1 || ds[0].Kind != KindSyntax || ds[0].Pos.Line != line || ds[0].Pos.Col == 0 {
					t.Errorf("want one syntax error in line %d, got\n%s", line, ds)
				}
				return
			}
			checkCorpusErrors(t, ds.Errors(), corpusErrors[e.file])
		})
	}
}

func checkCorpusErrors(t *testing.T, errs Diagnostics, want []string) {
	t.Helper()
	if len(errs) != len(want) {
		t.Fatalf("want %d errors, got\n%s", len(want), errs)
	}
	for i, w := range want {
		if !strings.Contains(errs[i].Message, w) || errs[i].Pos.Line == 0 || errs[i].Pos.Col == 0 {
			t.Errorf("got %s, want it to say %q", errs[i], w)
		}
	}
}

// TestCorpusModel holds the model of every web descriptor against a second, simple
// reading with encoding/xml: as many elements of each kind, and the same names.
func TestCorpusModel(t *testing.T) {
	dir := corpusDir(t)
	compared := 0
	for _, e := range corpusIndex(t, dir) {
		if !strings.HasPrefix(e.file, "web/") || strings.Contains(e.note, "NOT a web.xml") || strings.Contains(e.note, "external entity") {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, e.file))
		if err != nil {
			t.Fatal(err)
		}
		want, ok := readSimply(data)
		if !ok {
			continue // an encoding or an entity that the simple reading does not know
		}
		compared++
		app := &WebApp{}
		x := &webXML{xmlReader: xmlReader{reader: reader{file: e.file}}, app: app}
		doc := x.open(data)
		if doc == nil {
			t.Fatalf("%s: %s", e.file, x.diags)
		}
		x.decode(doc)
		got := map[string]int{
			"servlet": len(app.Servlets), "servlet-mapping": len(app.ServletMappings), "filter": len(app.Filters),
			"filter-mapping": len(app.FilterMappings), "listener": len(app.Listeners), "context-param": len(app.ContextParams),
			"error-page": len(app.ErrorPages), "mime-mapping": len(app.MimeMappings), "security-constraint": len(app.SecurityConstraints),
			"security-role": len(app.Roles),
		}
		for name, n := range got {
			if n != want[name] {
				t.Errorf("%s: %d of <%s>, the simple reading finds %d", e.file, n, name, want[name])
			}
		}
		if v := app.Version; e.version != "none" && !strings.HasPrefix(e.version, "DTD ?") && strings.TrimPrefix(e.version, "DTD ") != v && !strings.Contains(e.version, "V2") {
			t.Errorf("%s: version %q, the index says %q", e.file, v, e.version)
		}
	}
	if compared < 120 {
		t.Errorf("only %d files were compared", compared)
	}
}

// readSimply counts the elements directly under the root.
func readSimply(data []byte) (map[string]int, bool) {
	d := xml.NewDecoder(bytes.NewReader(data))
	d.Strict = false
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) {
		all, err := io.ReadAll(r)
		return strings.NewReader(strings.ToValidUTF8(string(all), "?")), err
	}
	counts := map[string]int{}
	depth := 0
	for {
		tok, err := d.Token()
		if err == io.EOF {
			return counts, depth == 0
		}
		if err != nil {
			return nil, false
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			if depth++; depth == 2 {
				counts[tok.Name.Local]++
			}
		case xml.EndElement:
			depth--
		}
	}
}
