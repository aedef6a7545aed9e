package archive

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// entry is one member of a zip made for a test.
type entry struct {
	name   string
	body   string
	mode   fs.FileMode
	stored bool
	flags  uint16
}

func build(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate, Flags: e.flags, Modified: time.Date(2020, 5, 17, 10, 0, 0, 0, time.UTC)}
		if e.stored || strings.HasSuffix(e.name, "/") {
			h.Method = zip.Store
		}
		if e.mode != 0 {
			h.SetMode(e.mode)
		}
		out, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(e.name, "/") {
			if _, err := io.WriteString(out, e.body); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func open(data []byte, limits Limits) (*Archive, error) {
	return New(bytes.NewReader(data), int64(len(data)), limits)
}

func bundle(t testing.TB) []byte {
	return build(t,
		entry{name: "index.html", body: "<h1>hello</h1>"},
		entry{name: "META-INF/", mode: fs.ModeDir | 0o755},
		entry{name: "META-INF/", mode: fs.ModeDir | 0o755},
		entry{name: "WEB-INF/web.xml", body: "<web-app/>", stored: true},
		entry{name: "WEB-INF/bin/linux-amd64/app", body: "#!", mode: 0o644},
		entry{name: "run.sh", body: "#!/bin/sh", mode: 0o755},
		entry{name: "img/größe/a.bin", body: strings.Repeat("abc", 50_000)},
	)
}

func TestArchiveIsAFileSystem(t *testing.T) {
	a, err := open(bundle(t), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(a, "index.html", "META-INF", "WEB-INF/web.xml", "img/größe/a.bin"); err != nil {
		t.Error(err)
	}
	if a.Len() != 5 || a.Total() != 14+10+2+9+150_000 {
		t.Errorf("Len %d, Total %d", a.Len(), a.Total())
	}
}

func TestSeek(t *testing.T) {
	a, err := open(bundle(t), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	f, err := a.Open("img/größe/a.bin")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := f.(io.ReadSeeker)
	for _, tt := range []struct {
		offset int64
		whence int
		want   string
	}{{0, io.SeekStart, "abc"}, {90_001, io.SeekStart, "bca"}, {3, io.SeekStart, "abc"}, {-2, io.SeekEnd, "bc"}, {-2, io.SeekCurrent, "bc"}} {
		if _, err := s.Seek(tt.offset, tt.whence); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(tt.want))
		if _, err := io.ReadFull(s, got); err != nil || string(got) != tt.want {
			t.Errorf("at %d/%d: %q, %v", tt.offset, tt.whence, got, err)
		}
	}
	if end, _ := s.Seek(0, io.SeekEnd); end != 150_000 {
		t.Errorf("end at %d", end)
	}
	if n, err := s.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("read at the end: %d, %v", n, err)
	}
	if _, err := s.Seek(-1, io.SeekStart); err == nil {
		t.Error("negative offset accepted")
	}
}

func TestUnpack(t *testing.T) {
	a, err := open(bundle(t), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := a.Unpack(context.Background(), root); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]fs.FileMode{
		"index.html": 0o644, "run.sh": 0o755, "WEB-INF/bin/linux-amd64/app": 0o755, "img/größe/a.bin": 0o644,
	} {
		st, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm() != mode || st.ModTime().UTC() != time.Date(2020, 5, 17, 10, 0, 0, 0, time.UTC) {
			t.Errorf("%s: mode %v, time %v", name, st.Mode(), st.ModTime())
		}
	}
	// A file that is there already is not overwritten.
	if err := a.Unpack(context.Background(), root); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second unpack: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := a.Unpack(ctx, root); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled unpack: %v", err)
	}
}

// TestUnpackStaysInside: what is in the folder before cannot lead outside.
func TestUnpackStaysInside(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "img")); err != nil {
		t.Skip("no symbolic links here:", err)
	}
	a, err := open(bundle(t), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := a.Unpack(context.Background(), root); err == nil {
		t.Error("unpacked through a link")
	}
	if left, _ := os.ReadDir(outside); len(left) > 0 {
		t.Errorf("outside: %v", left)
	}
}

func TestRefused(t *testing.T) {
	zeros := strings.Repeat("\x00", 1<<20)
	tests := []struct {
		name    string
		entries []entry
		limits  Limits
		want    string
	}{
		{"parent", []entry{{name: "a/../../b"}}, Limits{}, `segment ".."`},
		{"dot", []entry{{name: "./a"}}, Limits{}, `segment "."`},
		{"empty segment", []entry{{name: "a//b"}}, Limits{}, `segment ""`},
		{"absolute", []entry{{name: "/etc/passwd"}}, Limits{}, "absolute"},
		{"only a slash", []entry{{name: "/"}}, Limits{}, "no name"},
		{"backslash", []entry{{name: `..\b`}}, Limits{}, "backslash"},
		{"drive", []entry{{name: "C:/b"}}, Limits{}, "drive letter"},
		{"control", []entry{{name: "a\x00b"}}, Limits{}, "control character"},
		{"not UTF-8", []entry{{name: "a\xffb"}}, Limits{}, "not valid UTF-8"},
		{"long", []entry{{name: strings.Repeat("a/", 600) + "b"}}, Limits{}, "at most 1024"},
		{"long segment", []entry{{name: strings.Repeat("a", 256)}}, Limits{}, "at most 255"},
		{"link", []entry{{name: "a", body: "/etc/passwd", mode: fs.ModeSymlink | 0o777}}, Limits{}, "symbolic link"},
		{"device", []entry{{name: "a", mode: fs.ModeDevice | 0o600}}, Limits{}, "neither a file nor a folder"},
		{"fifo", []entry{{name: "a", mode: fs.ModeNamedPipe | 0o600}}, Limits{}, "neither a file nor a folder"},
		{"file with the mode of a folder", []entry{{name: "a", mode: fs.ModeDir | 0o755}}, Limits{}, "by its mode"},
		{"twice", []entry{{name: "a"}, {name: "a"}}, Limits{}, "named twice"},
		{"case", []entry{{name: "WEB-INF/web.xml"}, {name: "web-inf/web.xml"}}, Limits{}, "only in case"},
		{"case of a file", []entry{{name: "a/B"}, {name: "a/b"}}, Limits{}, "only in case"},
		{"case of sharp s", []entry{{name: "aß"}, {name: "aẞ"}}, Limits{}, "only in case"},
		{"normalization", []entry{{name: "\u00e9"}, {name: "e\u0301"}}, Limits{}, "normalization"},
		{"file and folder", []entry{{name: "a"}, {name: "a/b"}}, Limits{}, "also a file"},
		{"folder and file", []entry{{name: "a/b"}, {name: "a"}}, Limits{}, "named twice"},
		{"entries", []entry{{name: "a"}, {name: "b"}, {name: "c"}}, Limits{Entries: 2}, "at most 2"},
		{"folders count", []entry{{name: "a/b/c/d"}}, Limits{Entries: 3}, "more than 3"},
		{"file size", []entry{{name: "a", body: "12345"}}, Limits{File: 4}, "at most 4"},
		{"total size", []entry{{name: "a", body: "123"}, {name: "b", body: "123"}}, Limits{Total: 5}, "more than 5"},
		{"ratio", []entry{{name: "a", body: zeros}}, Limits{RatioFloor: 1000}, "a ratio of more than 100"},
		{"ratio of all", []entry{{name: "a", body: zeros[:900]}, {name: "b", body: zeros[:900]}}, Limits{RatioFloor: 1000, Ratio: 2}, "a ratio of more than 2"},
		{"encrypted", []entry{{name: "a", body: "x", flags: 1}}, Limits{}, "encrypted"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := open(build(t, tt.entries...), tt.limits)
			if !errors.Is(err, ErrRefused) || !strings.Contains(fmt.Sprint(err), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestOverlap lets many directory entries point at the same compressed bytes.
func TestOverlap(t *testing.T) {
	data := build(t, entry{name: "a0", body: strings.Repeat("x", 4000), stored: true}, entry{name: "a1", body: strings.Repeat("y", 4000), stored: true})
	// The second directory record's local header offset (its last fixed
	// field, 42 bytes in) is made the first one's.
	second := bytes.LastIndex(data, []byte("PK\x01\x02"))
	copy(data[second+42:second+46], []byte{0, 0, 0, 0})
	// Two entries fit twice into the archive, so shorten it: claim more.
	for _, at := range []int{second + 20, second + 24} {
		copy(data[at:at+4], []byte{0, 0x30, 0, 0})
	}
	if _, err := open(data, Limits{}); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "compressed bytes") {
		t.Errorf("got %v", err)
	}
}

// TestLies: an entry that unpacks to more than its directory says.
func TestLies(t *testing.T) {
	data := build(t, entry{name: "a", body: strings.Repeat("x", 4000)})
	record := bytes.LastIndex(data, []byte("PK\x01\x02"))
	copy(data[record+24:record+28], []byte{10, 0, 0, 0})
	a, err := open(data, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := fs.ReadFile(a, "a"); err == nil || len(got) > 10 {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := a.Unpack(context.Background(), root); err == nil {
		t.Error("unpacked")
	}
}

// TestIncomplete: no prefix of an archive passes for the archive.
func TestIncomplete(t *testing.T) {
	data := bundle(t)
	for n := 0; n < len(data); n += 1 + n/50 {
		if _, err := open(data[:n], Limits{}); !errors.Is(err, ErrIncomplete) {
			t.Fatalf("%d of %d bytes: %v", n, len(data), err)
		}
	}
}

func TestReservedOnWindows(t *testing.T) {
	for _, name := range []string{"con", "a/NUL.txt", "com1.html", "LPT9", "a:b", "x.", "x ", "a/b?", "aux .c"} {
		if checkName(name, 100, true) == nil {
			t.Errorf("%q accepted", name)
		}
	}
	for _, name := range []string{"console", "a/null.txt", "com.html", "lpt", "COM10", "x.y", "WEB-INF/web.xml"} {
		if err := checkName(name, 100, true); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestOpenFile(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(filepath.Join(dir, "none.war"), Limits{}); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := Open(dir, Limits{}); err == nil {
		t.Error("opened a folder")
	}
	name := filepath.Join(dir, "x.war")
	if err := os.WriteFile(name, bundle(t), 0o644); err != nil {
		t.Fatal(err)
	}
	a, err := Open(name, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := fs.ReadFile(a, "index.html"); err != nil || string(b) != "<h1>hello</h1>" {
		t.Error(string(b), err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}

// FuzzArchive opens and unpacks hostile bytes with small limits, and checks
// that what was accepted stays within them and within its folder.
func FuzzArchive(f *testing.F) {
	f.Add(bundle(f))
	f.Add(build(f, entry{name: "a", body: strings.Repeat("\x00", 100_000)}))
	f.Add(build(f, entry{name: "../a", body: "x"}))
	f.Add(build(f, entry{name: "a", mode: fs.ModeSymlink | 0o777, body: "/"}))
	f.Add([]byte("PK\x05\x06" + strings.Repeat("\x00", 18)))
	limits := Limits{Entries: 50, File: 1 << 16, Total: 1 << 17, Ratio: 20, RatioFloor: 1 << 10, Name: 64}
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := open(data, limits)
		if err != nil {
			return
		}
		outer := t.TempDir()
		if err := os.Mkdir(filepath.Join(outer, "in"), 0o755); err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(filepath.Join(outer, "in"))
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		unpackErr := a.Unpack(context.Background(), root)
		if left, _ := os.ReadDir(outer); len(left) != 1 {
			t.Fatalf("unpacked outside: %v", left)
		}
		var total int64
		err = fs.WalkDir(root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			st, err := d.Info()
			if err != nil {
				return err
			}
			if d.Type()&^fs.ModeDir != 0 {
				t.Fatalf("%s is a %v", p, d.Type())
			}
			if !d.IsDir() {
				total += st.Size()
				if b, err := fs.ReadFile(a, p); unpackErr == nil && (err != nil || int64(len(b)) != st.Size()) {
					t.Fatalf("%s: served %d bytes (%v), unpacked %d", p, len(b), err, st.Size())
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if total > limits.Total || unpackErr == nil && total != a.Total() {
			t.Fatalf("unpacked %d bytes, limit %d, announced %d", total, limits.Total, a.Total())
		}
	})
}
