package cli

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/serval-server/serval/conf"
)

// initCmd is serval init.
type initCmd struct {
	Dir string `arg:"" help:"Folder to make; an existing one must have no conf/server.toml yet."`
}

// homePage is the ROOT page of a new home.
//
//go:embed home.html
var homePage []byte

// Run makes a home. Files that are there already are left alone.
func (c *initCmd) Run(e *env) error {
	if _, err := os.Stat(filepath.Join(c.Dir, "conf", "server.toml")); err == nil {
		return fmt.Errorf("%s is a home already (it has conf/server.toml)", c.Dir)
	}
	for _, dir := range []string{"conf", "webapps", "logs", "work", "data"} {
		if err := os.MkdirAll(filepath.Join(c.Dir, dir), 0o755); err != nil {
			return err
		}
	}
	files := []struct {
		name string
		data []byte
	}{{"conf/server.toml", conf.Server}, {"conf/web.toml", conf.Web}, {"webapps/ROOT/index.html", homePage}}
	for _, f := range files {
		name := filepath.Join(c.Dir, filepath.FromSlash(f.name))
		if err := writeNew(name, f.data); errors.Is(err, fs.ErrExist) {
			e.printf("kept  %s\n", name)
		} else if err != nil {
			return err
		} else {
			e.printf("wrote %s\n", name)
		}
	}
	e.printf("\nStart it with: serval run --home %s\n", c.Dir)
	return nil
}

// writeNew writes a file that must not exist yet, making its folder.
func writeNew(name string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}
