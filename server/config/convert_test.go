package config

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/serval-server/serval/descriptor"
)

// TestConvertedServerXML reads what descriptor.ConvertServer makes of every server.xml of the
// corpus: it must be a valid configuration.
func TestConvertedServerXML(t *testing.T) {
	var files []string
	for _, dir := range []string{"../../../shared/corpus/server", "../../../../shared/corpus/server"} {
		files, _ = filepath.Glob(dir + "/*.xml")
		if len(files) > 0 {
			break
		}
	}
	if len(files) == 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("the corpus of real server.xml files is missing")
		}
		t.Skip("the corpus of real server.xml files (../shared/corpus/server) is missing")
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			text, ds := descriptor.ConvertServer(filepath.Base(file), data)
			if ds.HasErrors() {
				t.Fatal(ds.Err())
			}
			home := t.TempDir()
			name := filepath.Join(home, "server.toml")
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, ds := Check(Options{Home: home, File: name}); ds.HasErrors() {
				t.Errorf("%s\n%s", ds, text)
			}
		})
	}
}
