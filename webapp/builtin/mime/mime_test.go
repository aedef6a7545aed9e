package mime

import (
	stdmime "mime"
	"testing"
)

func TestByName(t *testing.T) {
	for name, want := range map[string]string{
		"a.txt": "text/plain", "A.TXT": "text/plain", "/x/y.Html": "text/html", "app.mjs": "text/javascript",
		"t.ts": "video/mp2t", "noext": "", "a.txt.bak": "", "dir.d/noext": "", "a.tar.gz": "application/gzip",
		"c.class": "application/java", "w.wasm": "application/wasm", ".": "", "": "", "x.": "", "img.svg": "image/svg+xml",
		"i.ico": "image/x-icon", "m.webmanifest": "application/manifest+json", "f.woff2": "font/woff2",
	} {
		if got := ByName(name); got != want {
			t.Errorf("ByName(%q) = %q, want %q", name, got, want)
		}
	}
}

// TestList checks that each line of the list is a media type with extensions
// and that no extension is named twice.
func TestList(t *testing.T) {
	m := table()
	if len(m) < 1000 {
		t.Errorf("the list has %d extensions; Tomcat's has about 1000", len(m))
	}
	for ext, typ := range m {
		if _, _, err := stdmime.ParseMediaType(typ); err != nil {
			t.Errorf("%s: %q is not a media type: %v", ext, typ, err)
		}
	}
}
