package pages

import (
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"path"
	"strings"
	texttemplate "text/template"
	"text/template/parse"
	"time"

	"github.com/serval-server/serval/webapp/builtin/resources"
)

// Extension is how the names of pages end.
const Extension = ".gohtml"

// Limits of one page with all that it uses.
const (
	maxSource = 4 << 20 // bytes of one file
	maxFiles  = 500
)

// page is a compiled page and the files that it was made from.
type page struct {
	tmpl  *template.Template
	files map[string]stamp
}

// stamp tells one version of a file from the next.
type stamp struct {
	size     int64
	modified time.Time
}

func stampOf(fsys fs.FS, name string) (stamp, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return stamp{}, err
	}
	if !info.Mode().IsRegular() {
		return stamp{}, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return stamp{info.Size(), info.ModTime()}, nil
}

// fresh reports whether the files of a page are still what it was made from.
func (p *page) fresh(fsys fs.FS) bool {
	for name, old := range p.files {
		if now, err := stampOf(fsys, name); err != nil || now != old {
			return false
		}
	}
	return true
}

// loader compiles one page.
type loader struct {
	fsys  fs.FS
	files map[string]stamp
	trees map[string]*parse.Tree
	uses  []use
	queue []use
}

// use is a {{template "name"}} and where it stands.
type use struct {
	name string
	tree *parse.Tree
	node parse.Node
}

// load compiles the page of a name of the tree. The error is fs.ErrNotExist if
// there is no such page, else an *Error with a place.
func load(fsys fs.FS, name string) (*page, error) {
	l := &loader{fsys: fsys, files: map[string]stamp{}, trees: map[string]*parse.Tree{}}
	if err := l.add(name); err != nil {
		return nil, err
	}
	for len(l.queue) > 0 {
		u := l.queue[0]
		l.queue = l.queue[1:]
		file := strings.TrimPrefix(u.name, "/")
		if _, known := l.files[file]; known {
			continue
		}
		if len(l.files) >= maxFiles {
			return nil, u.wrong("the page uses more than %d files", maxFiles)
		}
		if err := l.add(file); errors.Is(err, fs.ErrNotExist) {
			return nil, u.wrong("there is no file %s", u.name)
		} else if err != nil {
			return nil, err
		}
	}
	for _, u := range l.uses {
		if l.trees[u.name] == nil {
			return nil, u.wrong("template %q is not defined", u.name)
		}
	}
	set := template.New("").Funcs(functions)
	for n, tree := range l.trees {
		if _, err := set.AddParseTree(n, tree); err != nil {
			return nil, newError(err)
		}
	}
	return &page{tmpl: set.Lookup("/" + name), files: l.files}, nil
}

// wrong is an error at the place of a use.
func (u use) wrong(format string, args ...any) error {
	place, _ := u.tree.ErrorContext(u.node)
	return &Error{Message: fmt.Sprintf(format, args...), Place: parsePlace(place)}
}

// add reads a file, with its definitions, unless one of that name is there.
func (l *loader) add(name string) error {
	mark, err := stampOf(l.fsys, name)
	if err != nil {
		return err
	}
	src, err := resources.ReadAll(l.fsys, name, maxSource)
	if err != nil {
		return err
	}
	l.files[name] = mark
	file := "/" + name
	t, err := texttemplate.New(file).Funcs(functions).Parse(strings.TrimPrefix(string(src), "\ufeff"))
	if err != nil {
		return newError(err)
	}
	if t.Lookup(file) == nil { // an empty file, or definitions only
		if t, err = t.New(file).Parse("{{/* empty */}}"); err != nil {
			return newError(err)
		}
	}
	for _, d := range t.Templates() {
		if d.Tree == nil || l.trees[d.Name()] != nil {
			continue
		}
		l.trees[d.Name()] = d.Tree
		l.walk(d.Tree, d.Tree.Root, path.Dir(file))
	}
	if l.trees[file] == nil {
		l.trees[file] = &parse.Tree{Name: file, ParseName: file, Root: &parse.ListNode{NodeType: parse.NodeList}}
	}
	return nil
}

// walk finds the uses of templates, and gives those of files their full names.
func (l *loader) walk(tree *parse.Tree, n parse.Node, dir string) {
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil {
			return
		}
		for _, c := range n.Nodes {
			l.walk(tree, c, dir)
		}
	case *parse.IfNode:
		l.walkBranch(tree, &n.BranchNode, dir)
	case *parse.RangeNode:
		l.walkBranch(tree, &n.BranchNode, dir)
	case *parse.WithNode:
		l.walkBranch(tree, &n.BranchNode, dir)
	case *parse.TemplateNode:
		u := use{n.Name, tree, n}
		if strings.HasSuffix(n.Name, Extension) {
			if !strings.HasPrefix(n.Name, "/") {
				u.name = path.Join(dir, n.Name)
			}
			u.name = path.Clean(u.name)
			n.Name = u.name
			l.queue = append(l.queue, u)
		}
		l.uses = append(l.uses, u)
	}
}

func (l *loader) walkBranch(tree *parse.Tree, n *parse.BranchNode, dir string) {
	l.walk(tree, n.List, dir)
	l.walk(tree, n.ElseList, dir)
}
