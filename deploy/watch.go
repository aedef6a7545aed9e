package deploy

import (
	"encoding/binary"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// watch finds changes within a deployed bundle, and of other files that the
// application depends on, that ask for a reload. It is not safe for concurrent use.
type watch struct {
	files map[string]stamp
	// trees are folders (or files) of code. A change of one counts when two
	// looks in a row agree, so that a reload does not meet half of a commit.
	trees   map[string]uint64
	pending map[string]uint64
}

// watchedDescriptors are watched in every bundle (conf/context.xml does it in Tomcat).
var watchedDescriptors = [...]string{
	"WEB-INF/web.xml", "WEB-INF/web.toml", "WEB-INF/tomcat-web.xml", "WEB-INF/jboss-web.xml",
}

// watchedCode is where a bundle keeps its program and sources.
var watchedCode = [...]string{"WEB-INF/src", "WEB-INF/bin", "WEB-INF/lib", "WEB-INF/classes", "WEB-INF/app.wasm"}

// newWatch notes how the files look now. dir is the bundle's folder, "" for
// one that is served from a zip.
func newWatch(dir string, global []string) watch {
	w := watch{files: map[string]stamp{}, trees: map[string]uint64{}, pending: map[string]uint64{}}
	for _, path := range global {
		w.files[path] = stampOf(path)
	}
	if dir == "" {
		return w
	}
	for _, name := range watchedDescriptors {
		path := filepath.Join(dir, filepath.FromSlash(name))
		w.files[path] = stampOf(path)
	}
	for _, name := range watchedCode {
		path := filepath.Join(dir, filepath.FromSlash(name))
		w.trees[path] = treeHash(path)
	}
	return w
}

// restrict keeps what the bundle's traits ask for, once they are known.
func (w watch) restrict(dir string, traits Traits, development bool) {
	reloadable := development || traits.Reloadable != nil && *traits.Reloadable
	for path := range w.trees {
		isSource := traits.Reloadable == nil && filepath.Base(path) == "src"
		if !reloadable && !isSource {
			delete(w.trees, path)
		}
	}
	for _, name := range traits.Watched {
		path := filepath.FromSlash(name)
		if !filepath.IsAbs(path) {
			if dir == "" {
				continue
			}
			path = filepath.Join(dir, path)
		}
		if _, known := w.files[path]; !known {
			w.files[path] = stampOf(path)
		}
	}
}

// everything makes the watch look at the whole bundle: a failed one may be
// mended anywhere.
func (w watch) everything(dir string) {
	if dir != "" {
		clear(w.trees)
		w.trees[dir] = treeHash(dir)
	}
}

// changed returns a file or a folder that has changed, or "". At once is for
// who does not want to wait for a second look at the code.
func (w watch) changed(atOnce bool) string {
	for path, was := range w.files {
		if stampOf(path) != was {
			return path
		}
	}
	for path, was := range w.trees {
		now := treeHash(path)
		if now == was {
			delete(w.pending, path)
			continue
		}
		if seen, ok := w.pending[path]; atOnce || ok && seen == now {
			return path
		}
		w.pending[path] = now
	}
	return ""
}

// treeLimit bounds how many files a look at a folder takes in.
const treeLimit = 20_000

// treeHash sums up names, sizes and times of all files below a folder, or of
// one file; 0 if there is none. Hidden folders and node_modules are left out.
func treeHash(root string) uint64 {
	sum := xxhash.New()
	count := 0
	_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			if path == root {
				return fs.SkipAll
			}
			return nil // it has gone in between; the next look will tell
		}
		if d.IsDir() && path != root && (hidden(d.Name()) || d.Name() == "node_modules") {
			return fs.SkipDir
		}
		if count++; count > treeLimit {
			return fs.SkipAll
		}
		var size, mtime int64
		if !d.IsDir() {
			info, err := os.Stat(path)
			if err != nil {
				return nil
			}
			size, mtime = info.Size(), info.ModTime().UnixNano()
		}
		_, _ = sum.WriteString(strings.TrimPrefix(path, root))
		var figures [17]byte
		binary.LittleEndian.PutUint64(figures[1:], uint64(size))
		binary.LittleEndian.PutUint64(figures[9:], uint64(mtime))
		_, _ = sum.Write(figures[:])
		return nil
	})
	if count == 0 {
		return 0
	}
	return sum.Sum64()
}
