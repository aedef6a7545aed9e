package xmltree

import (
	"os"
	"path/filepath"
	"testing"
)

func TestScratch(t *testing.T) {
	files, _ := filepath.Glob("/work/shared/corpus/*/*.xml")
	for _, f := range files {
		data, _ := os.ReadFile(f)
		doc, err := Parse(data, Limits{})
		broken := filepath.Base(filepath.Dir(f)) == "broken"
		if broken || err != nil {
			t.Logf("%s %v %v", f[21:], err, doc != nil)
		}
	}
}
