package deploy

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"time"
)

// Options configure a Host.
type Options struct {
	// Name is the host's name, "localhost" if empty.
	Name string
	// AppBase is the folder of the bundles. It is made if it is missing.
	AppBase string
	// XMLBase is the folder of the context files (conf/<engine>/<host>);
	// empty for none. It need not exist.
	XMLBase string
	// WorkDir is the folder for scratch files (work/<engine>/<host>); each
	// context gets a folder below it. It must not be empty.
	WorkDir string
	// ContextDefaults are the default context files (conf/context.toml, the
	// host's context.xml.default); what the first says counts most. Files
	// that are missing are left out. A change reloads all applications.
	ContextDefaults []string
	// GlobalFiles are further files that every application depends on, such as
	// conf/web.toml: a change reloads all applications.
	GlobalFiles []string

	// NoAutoDeploy turns the scan off: what is there at the start is
	// deployed, later changes need Deploy, Reload or Undeploy.
	NoAutoDeploy bool
	// NoDeployOnStartup leaves what is there at the start to the scan.
	NoDeployOnStartup bool
	// Interval is the time between two scans, 500 ms if zero. A new or
	// changed bundle is deployed once two scans in a row have found it the same.
	Interval time.Duration
	// NoUnpack serves .war and .zip files without unpacking them into the
	// appBase.
	NoUnpack bool
	// NoDeployXML refuses bundles that carry a META-INF/context.xml|toml.
	NoDeployXML bool
	// CopyXML copies a bundle's META-INF/context.xml|toml to the xmlBase.
	CopyXML bool
	// DeployIgnore is a regular expression; what matches a whole name in
	// the appBase is ignored. Empty for none.
	DeployIgnore string
	// UndeployOldVersions undeploys a version that has no sessions left
	// when a newer one serves.
	UndeployOldVersions bool
	// Development makes every application reloadable, and shows the reason
	// of a failure in the browser.
	Development bool

	// WaitTimeout bounds how long a request waits for an application that
	// is starting, 20 s if zero.
	WaitTimeout time.Duration
	// DrainTimeout bounds how long requests of an old generation are waited
	// for before it is stopped, 30 s if zero.
	DrainTimeout time.Duration
	// StartTimeout bounds the deployment of one application, compilation
	// included, 5 min if zero.
	StartTimeout time.Duration
	// Parallel is how many applications are deployed at a time, 4 if zero.
	Parallel int

	// New makes the applications. It must not be nil.
	New Factory
	// ErrorReport answers a request that no application can answer: status
	// and message are for the client, cause (or nil) is for whoever may see
	// more. A plain text page if nil.
	ErrorReport func(w http.ResponseWriter, r *http.Request, status int, message string, cause error)
	// Env resolves ${name} placeholders in context files, nil resolves none.
	Env func(name string) (string, bool)
	// Now is the clock, time.Now if nil.
	Now func() time.Time
	// Logger takes the log, which is discarded if it is nil.
	Logger *slog.Logger
}

// withDefaults returns the options completed, or an error that says what is
// wrong with them.
func (o Options) withDefaults() (Options, *regexp.Regexp, error) {
	if o.AppBase == "" || o.WorkDir == "" || o.New == nil {
		return o, nil, fmt.Errorf("deploy: AppBase, WorkDir and New must be set")
	}
	ignore, err := regexp.Compile("^(?:" + cmp.Or(o.DeployIgnore, "[^\\s\\S]") + ")$")
	if err != nil {
		return o, nil, fmt.Errorf("deploy: deployIgnore: %w", err)
	}
	o.Name = cmp.Or(o.Name, "localhost")
	o.Interval = cmp.Or(o.Interval, 500*time.Millisecond)
	o.WaitTimeout = cmp.Or(o.WaitTimeout, 20*time.Second)
	o.DrainTimeout = cmp.Or(o.DrainTimeout, 30*time.Second)
	o.StartTimeout = cmp.Or(o.StartTimeout, 5*time.Minute)
	o.Parallel = cmp.Or(o.Parallel, 4)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.ErrorReport == nil {
		o.ErrorReport = func(w http.ResponseWriter, _ *http.Request, status int, message string, _ error) {
			http.Error(w, message, status)
		}
	}
	return o, ignore, nil
}

// Manager is what the control socket and an HTTP manager use of a Host.
type Manager interface {
	// Apps reports all applications, ordered by path and version.
	Apps() []AppInfo
	// Deploy copies a bundle (folder, .war or .zip) into the appBase under
	// the given base name and deploys it; "" means the bundle's own name.
	Deploy(ctx context.Context, bundle, baseName string) (AppInfo, error)
	// Reload starts a new generation and exchanges it for the running one.
	Reload(ctx context.Context, name Name) (AppInfo, error)
	// Undeploy stops an application and removes its files from the appBase
	// and the xmlBase.
	Undeploy(ctx context.Context, name Name) error
}

var _ Manager = (*Host)(nil)
