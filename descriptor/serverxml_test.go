package descriptor

import (
	"path/filepath"
	"testing"

	"github.com/BurntSushi/toml"
)

// TestConvertServer compares the conversions of testdata/server with their golden files.
func TestConvertServer(t *testing.T) {
	files, err := filepath.Glob("testdata/server/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			ar, err := parseArchive(file)
			if err != nil {
				t.Fatal(err)
			}
			data := map[string]string{}
			for _, f := range ar.Files {
				data[f.Name] = string(f.Data)
			}
			text, ds := ConvertServer("server.xml", []byte(data["server.xml"]))
			got := map[string]string{"server.toml": text, "want": ds.String()}
			for _, name := range []string{"server.toml", "want"} {
				if got[name] != data[name] && !*update {
					t.Errorf("%s: got\n%s\nwant\n%s", name, got[name], data[name])
				}
			}
			if *update {
				rewrite(t, file, ar, got)
			}
		})
	}
}

// FuzzServerXML converts any bytes: what comes out is TOML.
func FuzzServerXML(f *testing.F) {
	files, _ := filepath.Glob("testdata/server/*.txtar")
	for _, file := range files {
		ar, err := parseArchive(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(ar.Files[0].Data)
	}
	seedCorpus(f, "server/*.xml")
	f.Fuzz(func(t *testing.T, data []byte) {
		text, ds := ConvertServer("server.xml", data)
		var m map[string]any
		if _, err := toml.Decode(text, &m); err != nil {
			t.Errorf("the conversion is not TOML: %v\n%s", err, text)
		}
		if text == "" && !ds.HasErrors() {
			t.Error("nothing came out, and nothing is wrong")
		}
		checkFindings(t, "server.xml", data)
	})
}
