package config

import (
	"path/filepath"
	"time"
)

// Config is the whole of server.toml. Use Load or Default to make one; it is
// not changed afterwards.
type Config struct {
	Server     Server      `toml:"server"`
	Log        Log         `toml:"log"`
	Limits     Limits      `toml:"limits"`
	Connectors []Connector `toml:"connectors"`
	Hosts      []Host      `toml:"hosts"`
	// Valves is the pipeline that every request passes before its host is found.
	Valves  Valves  `toml:"valves"`
	Cluster Cluster `toml:"cluster"`
	Caches  []Cache `toml:"cache"`

	// Home is the absolute folder that relative names are relative to.
	Home string `toml:"-"`
	// File is the absolute name of the file that was read, "" if there was none.
	File string `toml:"-"`
}

// Server is the table [server].
type Server struct {
	// Node is the node's name and the route that is appended to session ids
	// (Tomcat's jvmRoute); "" for none.
	Node string `toml:"node"`
	// Engine is the folder below conf and work that hosts have theirs in.
	Engine string `toml:"engine"`
	// DefaultHost names the host that answers for names that no host has.
	DefaultHost string `toml:"default-host"`
	// Development shows build errors and causes in the browser and looks
	// for changed pages and sources at each request.
	Development bool `toml:"development"`
	// DrainTimeout bounds how long open requests are waited for at the end.
	DrainTimeout Duration `toml:"drain-timeout"`
	// WorkDir, DataDir and ControlSocket are names below the home.
	WorkDir       string `toml:"work-dir"`
	DataDir       string `toml:"data-dir"`
	ControlSocket string `toml:"control-socket"`
	// WebDefaults is the file of the defaults of every application; the
	// built-in ones hold if it does not exist.
	WebDefaults string `toml:"web-defaults"`
}

// Log is the table [log], the server's own log (the access log is a valve).
type Log struct {
	Level  string `toml:"level"`  // debug, info, warn or error
	Format string `toml:"format"` // auto, text or json
}

// Limits is the table [limits]. They hold for every connector.
type Limits struct {
	MaxConnections int      `toml:"max-connections"` // per connector, 0 = no limit
	MaxHeaderSize  Size     `toml:"max-header-size"` // request line and headers together
	MaxHeaderCount int      `toml:"max-header-count"`
	MaxBodySize    Size     `toml:"max-body-size"` // 0 = no limit
	MaxFormSize    Size     `toml:"max-form-size"` // urlencoded bodies, 0 = no limit
	MaxParameters  int      `toml:"max-parameters"`
	MaxStreams     int      `toml:"max-streams"`    // open requests per HTTP/2 or HTTP/3 connection
	HeaderTimeout  Duration `toml:"header-timeout"` // to send request line and headers
	BodyTimeout    Duration `toml:"body-timeout"`   // between two parts of a body
	WriteTimeout   Duration `toml:"write-timeout"`  // for a client to take what was written
	IdleTimeout    Duration `toml:"idle-timeout"`   // between two requests
}

// Connector is an element of [[connectors]].
type Connector struct {
	Name    string  `toml:"name"`
	Address Address `toml:"address"`
	// H2C speaks HTTP/2 without TLS to clients that start with it.
	H2C bool `toml:"h2c"`
	// TLS makes it an HTTPS connector; nil for plain HTTP.
	TLS *TLS `toml:"tls"`
	// Secure declares that requests arrive through a proxy that speaks
	// HTTPS to the client, so that they count as secure.
	Secure bool `toml:"secure"`
	// SocketMode is the mode of a Unix socket, in octal.
	SocketMode string `toml:"socket-mode"`
}

// TLS is [connectors.tls].
type TLS struct {
	Certificates []Certificate `toml:"certificates"`
	SelfSigned   bool          `toml:"self-signed"`
	MinVersion   string        `toml:"min-version"` // 1.2 or 1.3
	ClientAuth   string        `toml:"client-auth"` // none, request or require
	ClientCA     string        `toml:"client-ca"`
	HTTP2        bool          `toml:"http2"`
	HTTP3        bool          `toml:"http3"`
}

// Certificate is one pair of PEM files. With several, the client's server name
// (SNI) chooses; the first is the default.
type Certificate struct {
	Cert string `toml:"cert"`
	Key  string `toml:"key"`
}

// Host is an element of [[hosts]].
type Host struct {
	Name    string   `toml:"name"`
	Aliases []string `toml:"aliases"`
	AppBase string   `toml:"app-base"`
	// XMLBase is the folder of context files; "" means conf/ENGINE/NAME.
	XMLBase             string   `toml:"xml-base"`
	AutoDeploy          bool     `toml:"auto-deploy"`
	DeployOnStartup     bool     `toml:"deploy-on-startup"`
	UnpackWARs          bool     `toml:"unpack-wars"`
	DeployIgnore        string   `toml:"deploy-ignore"`
	DeployXML           bool     `toml:"deploy-xml"`
	CopyXML             bool     `toml:"copy-xml"`
	UndeployOldVersions bool     `toml:"undeploy-old-versions"`
	ScanInterval        Duration `toml:"scan-interval"`
	StartTimeout        Duration `toml:"start-timeout"`
	WaitTimeout         Duration `toml:"wait-timeout"`
	DrainTimeout        Duration `toml:"drain-timeout"`
	// Valves is the pipeline of this host alone, inside the server's.
	Valves Valves `toml:"valves"`
}

// Default is the configuration that holds where no file says otherwise.
func Default(home string) *Config {
	c := &Config{Home: home}
	c.Server = Server{
		Engine: "Catalina", DefaultHost: "localhost", DrainTimeout: Duration(30 * time.Second),
		WorkDir: "work", DataDir: "data", ControlSocket: "run/serval.sock", WebDefaults: "conf/web.toml",
	}
	c.Log = Log{Level: "info", Format: "auto"}
	c.Limits = Limits{
		MaxConnections: 8192, MaxHeaderSize: 8 << 10, MaxHeaderCount: 100,
		MaxFormSize: 2 << 20, MaxParameters: 1000, MaxStreams: 100,
		HeaderTimeout: Duration(20 * time.Second), BodyTimeout: Duration(20 * time.Second),
		WriteTimeout: Duration(30 * time.Second), IdleTimeout: Duration(60 * time.Second),
	}
	var http Connector
	http.SetDefaults()
	http.Name, http.Address = "http", ":8080"
	c.Connectors = []Connector{http}
	var host Host
	host.SetDefaults()
	host.Name = "localhost"
	c.Hosts = []Host{host}
	c.Valves = defaultValves()
	c.Cluster = defaultCluster()
	c.Caches = []Cache{defaultCache()}
	return c
}

// SetDefaults gives an element of [[connectors]] its defaults.
func (c *Connector) SetDefaults() { *c = Connector{H2C: true, SocketMode: "0660"} }

// SetDefaults gives [connectors.tls] its defaults.
func (t *TLS) SetDefaults() {
	*t = TLS{MinVersion: "1.2", ClientAuth: "none", HTTP2: true, HTTP3: true}
}

// SetDefaults gives an element of [[hosts]] its defaults.
func (h *Host) SetDefaults() {
	*h = Host{
		AppBase: "webapps", AutoDeploy: true, DeployOnStartup: true, UnpackWARs: true, DeployXML: true,
		ScanInterval: Duration(500 * time.Millisecond), StartTimeout: Duration(5 * time.Minute),
		WaitTimeout: Duration(20 * time.Second), DrainTimeout: Duration(30 * time.Second),
	}
}

// Path resolves a file name of the configuration against the home.
func (c *Config) Path(name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(c.Home, filepath.FromSlash(name))
}

// XMLBase is the folder of a host's context files.
func (c *Config) XMLBase(h *Host) string {
	if h.XMLBase != "" {
		return c.Path(h.XMLBase)
	}
	return c.Path(filepath.Join("conf", c.Server.Engine, h.Name))
}

// HTTPSPort is the port of the first TLS connector, to which a
// transport-guarantee redirects (Tomcat's redirectPort); 0 if there is none.
func (c *Config) HTTPSPort() int {
	for i := range c.Connectors {
		if c.Connectors[i].TLS != nil {
			return c.Connectors[i].Address.Port()
		}
	}
	return 0
}
