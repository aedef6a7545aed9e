package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/serval-server/serval/bench/oracle/fixture"
	"github.com/serval-server/serval/bench/oracle/replay"
)

const module = "../.."

// recordings are the files beside the module, in the folder that it shares with
// its reference material.
func recordings(t *testing.T) []string {
	t.Helper()
	dir, err := filepath.Abs(module)
	if err != nil {
		t.Fatal(err)
	}
	for dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir)
		files, err := filepath.Glob(filepath.Join(dir, "shared", "oracle", "*.json.gz"))
		if err != nil {
			t.Fatal(err)
		}
		if len(files) > 0 {
			return files
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("../shared/oracle is missing")
	}
	t.Skip("../shared/oracle is missing")
	return nil
}

// TestRecordings replays everything that was recorded against the real server:
// every difference from Tomcat has its reason in docs/conformance.md, and no
// path leaks what is below WEB-INF.
func TestRecordings(t *testing.T) {
	files := recordings(t)
	table, err := readRules(filepath.Join(module, "docs", "conformance.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range table.Rules {
		if strings.Contains(r.Text, "'leak'") {
			t.Errorf("line %d: a leak has no excuse", r.Line)
		}
	}
	var out strings.Builder
	n, err := report(t.Context(), &out, table, files, replay.Options{Start: fixture.Start}, false)
	if err != nil {
		t.Fatal(err)
	}
	if n > 0 {
		t.Errorf("differences without a reason:\n%s", out.String())
	}
	t.Log(strings.TrimSpace(out.String()))
}
