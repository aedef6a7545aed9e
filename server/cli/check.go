package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/serval-server/serval/deploy/archive"
	"github.com/serval-server/serval/descriptor"
	"github.com/serval-server/serval/server/config"
)

// checkCmd is serval check.
type checkCmd struct {
	home
	JSON  bool     `name:"json" help:"Print an object per finding, one a line."`
	Paths []string `arg:"" optional:"" name:"path" help:"Homes, bundles (folders, .war, .zip) or descriptor files; without any, the home and what it deploys."`
}

// finding is a line of --json.
type finding struct {
	File     string              `json:"file"`
	Line     int                 `json:"line"`
	Column   int                 `json:"column"`
	Severity descriptor.Severity `json:"severity"`
	Kind     descriptor.Kind     `json:"kind"`
	Message  string              `json:"message"`
}

// Run checks and prints what it finds.
func (c *checkCmd) Run(e *env) error {
	k := &checker{e: e, options: c.options(e)}
	if len(c.Paths) == 0 {
		k.home(c.Home)
	}
	for _, p := range c.Paths {
		k.path(p)
	}
	for _, d := range k.found {
		if c.JSON {
			line, err := json.Marshal(finding{d.Pos.File, d.Pos.Line, d.Pos.Col, d.Severity, d.Kind, d.Message})
			if err != nil {
				return err
			}
			e.printf("%s\n", line)
		} else {
			e.printf("%s\n", d.String())
		}
	}
	errs, warnings := len(k.found.Errors()), len(k.found.Warnings())
	if !c.JSON {
		e.printf("%s checked: %s, %s\n", count(k.checked, "file or bundle", "files and bundles"), count(errs, "error", "errors"), count(warnings, "warning", "warnings"))
	}
	if errs > 0 {
		return errSilent
	}
	return nil
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

type checker struct {
	e       *env
	options config.Options
	found   descriptor.Diagnostics
	checked int
	// defaults are those of the home, once they have been read.
	defaults *descriptor.WebApp
}

func (k *checker) fail(file string, kind descriptor.Kind, err error) {
	k.found = append(k.found, descriptor.Diagnostic{
		Pos: descriptor.Pos{File: file}, Severity: descriptor.SeverityError, Kind: kind, Message: err.Error(),
	})
}

// path checks whatever there is at a path.
func (k *checker) path(p string) {
	info, err := os.Stat(p)
	switch {
	case err != nil:
		k.fail(p, descriptor.KindConfig, unpath(err))
	case !info.IsDir():
		k.file(p)
	case exists(p, "WEB-INF") || exists(p, "META-INF"):
		k.bundle(p)
	case exists(p, "conf") || exists(p, "webapps"):
		k.home(p)
	default:
		k.bundle(p)
	}
}

func exists(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return err == nil
}

// unpath takes the path off an error that is printed after it anyway.
func unpath(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}

// file checks a lone file by its name and content.
func (k *checker) file(p string) {
	switch strings.ToLower(filepath.Ext(p)) {
	case ".war", ".zip":
		k.bundle(p)
		return
	}
	if filepath.Base(p) == "server.toml" {
		k.config(config.Options{Home: filepath.Dir(p), File: p, CustomValves: k.options.CustomValves})
		return
	}
	k.checked++
	data, err := os.ReadFile(p)
	if err != nil {
		k.fail(p, descriptor.KindConfig, unpath(err))
		return
	}
	k.found = append(k.found, descriptor.CheckFile(p, data)...)
}

// context checks a context file, which its folder tells.
func (k *checker) context(p string) {
	k.checked++
	data, err := os.ReadFile(p)
	if err != nil {
		k.fail(p, descriptor.KindConfig, unpath(err))
		return
	}
	_, found := descriptor.ParseContext(p, data, os.LookupEnv)
	k.found = append(k.found, found...)
}

func (k *checker) config(o config.Options) *config.Config {
	k.checked++
	cfg, found := config.Check(o)
	k.found = append(k.found, found...)
	if found.HasErrors() {
		return nil
	}
	return cfg
}

// home checks the configuration of a home and all that its hosts deploy.
func (k *checker) home(dir string) {
	o := k.options
	o.Home = dir
	cfg := k.config(o)
	if cfg == nil {
		return
	}
	k.webDefaults(cfg.Path(cfg.Server.WebDefaults))
	for i := range cfg.Hosts {
		h := &cfg.Hosts[i]
		for _, p := range list(cfg.XMLBase(h)) {
			if ext := strings.ToLower(filepath.Ext(p)); ext == ".xml" || ext == ".toml" {
				k.context(k.show(p))
			}
		}
		for _, p := range bundles(cfg.Path(h.AppBase)) {
			k.bundle(k.show(p))
		}
	}
	k.defaults = nil
}

// show shortens a name to one relative to the current folder, if it is below.
func (k *checker) show(p string) string {
	wd, err := os.Getwd()
	if err != nil {
		return p
	}
	if rel, err := filepath.Rel(wd, p); err == nil && !strings.HasPrefix(rel, "..") {
		return rel
	}
	return p
}

func (k *checker) webDefaults(file string) {
	data, err := os.ReadFile(file)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			k.fail(k.show(file), descriptor.KindConfig, unpath(err))
		}
		return
	}
	k.checked++
	app, found := descriptor.ParseWeb(k.show(file), data, os.LookupEnv)
	k.found = append(k.found, found...)
	if !found.HasErrors() {
		k.defaults = app
	}
}

func list(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // a folder that is not there holds nothing
	}
	var out []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	return out
}

// bundles lists the folders and zips of an app base; a folder that a zip was
// unpacked to is left out.
func bundles(dir string) []string {
	all := list(dir)
	return slices.DeleteFunc(slices.Clone(all), func(p string) bool {
		ext := strings.ToLower(filepath.Ext(p))
		if ext == ".war" || ext == ".zip" {
			return false
		}
		info, err := os.Stat(p)
		return err != nil || !info.IsDir() || slices.Contains(all, p+".war") || slices.Contains(all, p+".zip")
	})
}

// bundle checks the descriptors of a bundle, in a folder or a zip.
func (k *checker) bundle(p string) {
	k.checked++
	fsys := os.DirFS(p)
	if info, err := os.Stat(p); err == nil && !info.IsDir() {
		a, err := archive.Open(p, archive.Limits{})
		if err != nil {
			k.fail(p, descriptor.KindSyntax, errors.New(strings.TrimPrefix(err.Error(), p+": ")))
			return
		}
		defer func() { _ = a.Close() }() // opened for reading
		fsys = a
	}
	model, found := descriptor.Load(fsys, descriptor.LoadOptions{Defaults: k.defaults, Env: os.LookupEnv, Prefix: filepath.ToSlash(p) + "/"})
	k.found = append(k.found, found...)
	k.classes(p, model, fsys)
}
