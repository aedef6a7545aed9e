package resources

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
)

func openDir(t *testing.T, links bool, files map[string]string) (*Dir, string) {
	t.Helper()
	root := t.TempDir()
	for name, data := range files {
		full := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d, err := OpenDir(root, links)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d, root
}

func TestDir(t *testing.T) {
	d, _ := openDir(t, false, map[string]string{"a.txt": "a", "d/b.txt": "b", "WEB-INF/web.xml": "x"})
	if err := fstest.TestFS(d, "a.txt", "d/b.txt", "WEB-INF/web.xml"); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"", "/a.txt", "../a.txt", "d/../a.txt", "a.txt\x00", "a.txt/", "none", "a.txt/b"} {
		if f, err := d.Open(name); err == nil {
			t.Errorf("Open(%q): no error", name)
			_ = f.Close()
		}
	}
	if _, err := OpenDir(filepath.Join(t.TempDir(), "none"), false); err == nil {
		t.Error("a folder that is missing: no error")
	}
}

// TestLinks shows which names that lead through symbolic links are served.
func TestLinks(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, allowed := range []bool{false, true} {
		d, root := openDir(t, allowed, map[string]string{"real/a.txt": "a", "WEB-INF/web.xml": "x"})
		for link, to := range map[string]string{"file": "real/a.txt", "folder": "real", "private": "WEB-INF/web.xml", "out": secret, "up": "..", "loop": "loop"} {
			if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
				t.Skip(err)
			}
		}
		for name, inside := range map[string]bool{"file": true, "folder/a.txt": true, "private": true, "out": false, "up/x": false, "loop": false} {
			_, err := fs.ReadFile(d, name)
			if (err == nil) != (allowed && inside) {
				t.Errorf("links allowed %v: reading %s: %v", allowed, name, err)
			}
			if !allowed && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("reading %s: %v is not fs.ErrNotExist", name, err)
			}
		}
		entries, err := d.ReadDir(".")
		if err != nil || len(entries) != map[bool]int{false: 2, true: 8}[allowed] {
			t.Errorf("links allowed %v: %d entries, %v", allowed, len(entries), err)
		}
		if err := d.WriteFile("folder/new", func(f *os.File) error { return nil }); (err == nil) != allowed {
			t.Errorf("links allowed %v: writing through one: %v", allowed, err)
		}
		if err := d.WriteFile("up/new", func(f *os.File) error { return nil }); err == nil {
			t.Error("writing through a link that leads out: no error")
		}
	}
}

// TestPipe shows that what would keep its reader waiting is not there.
func TestPipe(t *testing.T) {
	for _, links := range []bool{false, true} {
		d, root := openDir(t, links, nil)
		if err := syscall.Mkfifo(filepath.Join(root, "pipe"), 0o600); err != nil {
			t.Skip(err)
		}
		if _, err := d.Open("pipe"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("opening a pipe: %v", err)
		}
	}
}

func TestWriteFile(t *testing.T) {
	d, root := openDir(t, false, map[string]string{"a.txt": "old", "d/b.txt": "b"})
	write := func(name, data string) error {
		return d.WriteFile(name, func(f *os.File) error { _, err := io.WriteString(f, data); return err })
	}
	if err := write("a.txt", "new"); err != nil {
		t.Error(err)
	}
	if err := write("d/c.txt", "c"); err != nil {
		t.Error(err)
	}
	broken := errors.New("broken off")
	err := d.WriteFile("a.txt", func(f *os.File) error {
		// While it is being written nobody sees it.
		if entries, err := d.ReadDir("."); err != nil || len(entries) != 2 {
			t.Errorf("%d entries, %v", len(entries), err)
		}
		if _, err := d.Open(filepath.Base(f.Name())); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the temporary file can be opened: %v", err)
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	for _, bad := range []string{".", "none/x", "../x", "a.txt/x", "d", tempPrefix + "x"} {
		if err := write(bad, "x"); err == nil {
			t.Errorf("writing %q: no error", bad)
		}
	}
	if data, err := os.ReadFile(filepath.Join(root, "a.txt")); err != nil || string(data) != "new" {
		t.Errorf("a.txt is %q, %v", data, err)
	}
	if left, err := filepath.Glob(filepath.Join(root, "*", ".serval*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	if err := d.Remove("d"); err == nil {
		t.Error("a folder that is not empty was removed")
	}
	for _, name := range []string{"d/b.txt", "d/c.txt", "d", "a.txt"} {
		if err := d.Remove(name); err != nil {
			t.Error(err)
		}
	}
	if err := d.Remove("."); err == nil {
		t.Error("the root was removed")
	}
}

func jar(t *testing.T, files map[string]string) string {
	t.Helper()
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	for name, data := range files {
		f, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, data); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

func TestTree(t *testing.T) {
	files := map[string]string{
		"a.txt": "base", "d/own.txt": "base", "WEB-INF/web.xml": "base",
		"WEB-INF/lib/1.jar": jar(t, map[string]string{"META-INF/resources/a.txt": "one", "META-INF/resources/d/x.txt": "one", "META-INF/resources/only1.txt": "one", "META-INF/resources/WEB-INF/web2.xml": "one", "other.txt": "one"}),
		"WEB-INF/lib/2.zip": jar(t, map[string]string{"META-INF/resources/d/x.txt": "two", "META-INF/resources/e/y.txt": "two"}),
		"WEB-INF/lib/3.jar": jar(t, map[string]string{"x/y": "nothing to serve"}),
		"WEB-INF/lib/n.txt": "no archive",
	}
	d, _ := openDir(t, false, files)
	zr, err := zip.NewReader(strings.NewReader(jar(t, files)), int64(len(jar(t, files))))
	if err != nil {
		t.Fatal(err)
	}
	for kind, base := range map[string]fs.FS{"folder": d, "archive": zr} {
		tree, err := New(base)
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{"a.txt": "base", "d/own.txt": "base", "d/x.txt": "one", "e/y.txt": "two", "only1.txt": "one", "WEB-INF/web.xml": "base"} {
			if got, err := fs.ReadFile(tree, name); err != nil || string(got) != want {
				t.Errorf("%s: %s is %q, %v; want %q", kind, name, got, err, want)
			}
		}
		for _, name := range []string{"other.txt", "WEB-INF/web2.xml", "x/y", "META-INF/resources/a.txt"} {
			if _, err := fs.Stat(tree, name); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %s: %v", kind, name, err)
			}
		}
		names := func(dir string) (list []string) {
			entries, err := fs.ReadDir(tree, dir)
			if err != nil {
				t.Error(err)
			}
			for _, e := range entries {
				list = append(list, e.Name())
			}
			return list
		}
		if got := strings.Join(names("."), " "); got != "WEB-INF a.txt d e only1.txt" {
			t.Errorf("%s: the root has %s", kind, got)
		}
		if got := strings.Join(names("d"), " "); got != "own.txt x.txt" {
			t.Errorf("%s: d has %s", kind, got)
		}
		err = tree.WriteFile("new.txt", func(*os.File) error { return nil })
		if kind == "archive" != errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: writing: %v", kind, err)
		}
		if err := tree.Remove("new.txt"); kind == "archive" != errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: removing: %v", kind, err)
		}
		if err := tree.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := New(fstest.MapFS{"WEB-INF/lib/x.jar": {Data: []byte("no zip")}}); err == nil || !strings.Contains(err.Error(), "WEB-INF/lib/x.jar") {
		t.Errorf("a broken library: %v", err)
	}
}

func TestIsPrivate(t *testing.T) {
	for name, want := range map[string]bool{
		"WEB-INF": true, "/web-inf/x": true, "META-INF/a/b": true, "Meta-Inf": true, "WEB-INF./x": true, "WEB-INF /x": true,
		"WEB-INF2": false, "x/WEB-INF": false, "": false, ".": false, "a": false,
	} {
		if got := IsPrivate(name); got != want {
			t.Errorf("IsPrivate(%q) = %v", name, got)
		}
	}
}
