package cli

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/serval-server/serval/deploy"
	"github.com/serval-server/serval/server/control"
)

// appsCmd is serval apps.
type appsCmd struct {
	home
	JSON bool `name:"json" help:"Print a JSON array."`
}

// Run lists the applications.
func (c *appsCmd) Run(e *env) error {
	client, err := c.client(e)
	if err != nil {
		return err
	}
	apps, err := client.Apps(e.ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return e.json(apps)
	}
	w := tabwriter.NewWriter(e.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "HOST\tPATH\tVERSION\tSTATE\tSESSIONS\tRUNTIME\tPID\tSINCE")
	for _, a := range apps {
		pid := "-"
		if a.WorkerPID != 0 {
			pid = fmt.Sprint(a.WorkerPID)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\n", a.Host, a.Path, dash(a.Version), a.State, a.Sessions, dash(a.Runtime), pid,
			a.Since.Local().Format(time.DateTime))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, a := range apps {
		if a.Error != "" {
			e.printf("\n%s%s%s: %s\n", a.Host, a.Path, versioned(a.Version), strings.TrimSpace(a.Error))
		}
	}
	return nil
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func (e *env) json(v any) error {
	enc := json.NewEncoder(e.Stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// statusCmd is serval status.
type statusCmd struct {
	home
	JSON bool `name:"json" help:"Print a JSON object."`
}

// Run shows the server's status.
func (c *statusCmd) Run(e *env) error {
	client, err := c.client(e)
	if err != nil {
		return err
	}
	s, err := client.Status(e.ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return e.json(s)
	}
	e.printf("serval %s, process %d, running since %s\nhome %s, %d applications\n", s.Version, s.PID, s.Started.Local().Format(time.DateTime), s.Home, s.Apps)
	for _, c := range s.Connectors {
		e.printf("%s\t%s\t%s\n", c.Name, c.URL, strings.Join(c.Protocols, ", "))
	}
	return nil
}

// appArgs name an application.
type appArgs struct {
	home
	hostFlag
	Path    string `arg:"" help:"Context path, such as /shop, / for ROOT, or /shop##2 for a version."`
	Version string `name:"version" help:"Version, if the bundle has one." placeholder:"V"`
}

func (a *appArgs) request() control.Request {
	path, version, ok := strings.Cut(a.Path, "##")
	if !ok {
		version = a.Version
	}
	return control.Request{Host: a.Host, Path: path, Version: version}
}

// reloadCmd is serval reload.
type reloadCmd struct{ appArgs }

// Run reloads an application.
func (c *reloadCmd) Run(e *env) error {
	client, err := c.client(e)
	if err != nil {
		return err
	}
	info, err := client.Reload(e.ctx, c.request())
	if err != nil {
		return err
	}
	e.done("reloaded", info)
	return nil
}

func (e *env) done(what string, a deploy.AppInfo) {
	e.printf("%s %s%s on %s: %s\n", what, a.Path, versioned(a.Version), a.Host, strings.ToLower(string(a.State)))
}

// undeployCmd is serval undeploy.
type undeployCmd struct{ appArgs }

// Run undeploys an application.
func (c *undeployCmd) Run(e *env) error {
	client, err := c.client(e)
	if err != nil {
		return err
	}
	if err := client.Undeploy(e.ctx, c.request()); err != nil {
		return err
	}
	e.printf("undeployed %s\n", c.Path)
	return nil
}

// deployCmd is serval deploy.
type deployCmd struct {
	home
	hostFlag
	Bundle string `arg:"" type:"existingpath" help:"Folder, .war or .zip."`
	Name   string `help:"Name in the app base, such as shop##2 (default: the bundle's own)." placeholder:"NAME"`
}

// Run deploys a bundle.
func (c *deployCmd) Run(e *env) error {
	bundle, err := filepath.Abs(c.Bundle)
	if err != nil {
		return err
	}
	client, err := c.client(e)
	if err != nil {
		return err
	}
	info, err := client.Deploy(e.ctx, control.Request{Host: c.Host, Bundle: bundle, Name: c.Name})
	if err != nil {
		return err
	}
	e.done("deployed", info)
	return nil
}
