package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/serval-server/serval/server/config"
	"github.com/serval-server/serval/server/connector"
	"github.com/serval-server/serval/server/control"
	"github.com/serval-server/serval/server/valves"
	"github.com/serval-server/serval/webapp/servlet"
)

// Options are what a program gives to Main.
type Options struct {
	// Args are the arguments without the program's name.
	Args []string
	// Linked are the applications and Valves the valves that are compiled in.
	Linked map[string]servlet.App
	Valves map[string]valves.Maker
	// Version is the product's version; "" takes what the build says.
	Version string
	// Stdout and Stderr are os.Stdout and os.Stderr if nil.
	Stdout, Stderr io.Writer
}

// grammar is the command line.
type grammar struct {
	Run         runCmd         `cmd:"" default:"withargs" help:"Serve the applications of a home (the default command)."`
	Check       checkCmd       `cmd:"" help:"Check the configuration, bundles, or single descriptor files."`
	Init        initCmd        `cmd:"" help:"Make a home: configuration, folders and a first page."`
	New         newCmd         `cmd:"" help:"Make a bundle to start from: descriptor, servlet, page and test."`
	Build       buildCmd       `cmd:"" help:"Build a bundle's source into programs that servers without Go can run."`
	Deploy      deployCmd      `cmd:"" help:"Deploy a bundle (a folder, .war or .zip) on the running server."`
	Reload      reloadCmd      `cmd:"" help:"Start an application anew; its sessions stay."`
	Undeploy    undeployCmd    `cmd:"" help:"Stop an application and remove its files."`
	Apps        appsCmd        `cmd:"" help:"List the applications of the running server."`
	Status      statusCmd      `cmd:"" help:"Show where the running server listens."`
	Cluster     clusterCmd     `cmd:"" help:"Show and change the cluster."`
	Replication replicationCmd `cmd:"" help:"Switch the replication of sessions on or off, on all nodes."`
	Demo        demoCmd        `cmd:"" help:"Start a cluster on this machine to play with: kill nodes, and keep your cart."`
	Drain       drainCmd       `cmd:"" help:"Hand this node's sessions over to the others."`
	Worker      workerCmd      `cmd:"" help:"Run a WebAssembly program; started by the server."`
	Version     versionCmd     `cmd:"" help:"Print the version."`
}

// home are the flags of every command that needs a home.
type home struct {
	Home   string `help:"Folder with conf, webapps, work, logs and data." placeholder:"DIR" default:"." env:"SERVAL_HOME"`
	Config string `help:"Configuration file (default: conf/server.toml in the home, if there is one)." placeholder:"FILE"`
}

// hostFlag chooses the host of a command.
type hostFlag struct {
	Host string `help:"Name of the host (default: the default host)." placeholder:"NAME"`
}

// env is what commands run in.
type env struct {
	Options
	ctx context.Context
}

// printf writes to standard output. What cannot be written there is lost, as it is
// for every program.
func (e *env) printf(format string, args ...any) { _, _ = fmt.Fprintf(e.Stdout, format, args...) }

func (e *env) errorf(format string, args ...any) { _, _ = fmt.Fprintf(e.Stderr, format, args...) }

// errSilent is returned by a command that has said what there is to say.
var errSilent = errors.New("failed")

// Main runs the command line and returns the exit status: 0, or 1 after an error.
func Main(o Options) int {
	if o.Stdout == nil {
		o.Stdout = os.Stdout
	}
	if o.Stderr == nil {
		o.Stderr = os.Stderr
	}
	if o.Version == "" {
		o.Version = buildVersion()
	}
	var g grammar
	status, done := 0, false
	parser, err := kong.New(&g, kong.Name("serval"), kong.UsageOnError(), kong.Writers(o.Stdout, o.Stderr),
		kong.Description("A web server that runs Go application bundles the way a servlet container runs web applications."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Exit(func(code int) { status, done = code, true }))
	if err != nil {
		panic("cli: " + err.Error()) // the grammar above is wrong
	}
	e := &env{Options: o, ctx: context.Background()}
	if len(o.Args) == 1 && (o.Args[0] == "--version" || o.Args[0] == "-v") {
		o.Args = []string{"version"}
	}
	k, err := parser.Parse(o.Args)
	if done { // --help has been answered
		return status
	}
	if err != nil {
		e.errorf("serval: %v (serval --help)\n", err)
		return 1
	}
	if err := k.Run(e); err != nil {
		if !errors.Is(err, errSilent) {
			e.errorf("serval: %v\n", err)
		}
		return 1
	}
	return 0
}

// buildVersion is the module's version, or the commit that was built.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "dev"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return strings.TrimPrefix(v, "v")
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "dev-" + s.Value[:12]
		}
	}
	return "dev"
}

// options are the flags as config.Options.
func (h *home) options(e *env) config.Options {
	o := config.Options{Home: h.Home, File: h.Config}
	for name := range e.Valves {
		o.CustomValves = append(o.CustomValves, name)
	}
	return o
}

// client returns a client of the server that runs in the home.
func (h *home) client(e *env) (*control.Client, error) {
	dir, err := filepath.Abs(h.Home)
	if err != nil {
		return nil, err
	}
	cfg, err := config.Load(h.options(e))
	if err != nil {
		// The file may have been changed since the server started: the
		// socket is most likely where it is by default.
		cfg = config.Default(dir)
	}
	socket := cfg.Path(cfg.Server.ControlSocket)
	return control.NewClient(socket, connector.DialUnix), nil
}

// versionCmd is serval version.
type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(e *env) error {
	e.printf("serval %s\n", e.Version)
	return nil
}
