package config

import "time"

// Valves is [valves] or [hosts.valves]: each valve is a table of its own, and one
// that is absent (nil) is not in the pipeline. A request passes them in the order
// of the fields here; an answer passes them in the reverse order.
type Valves struct {
	RequestID     *RequestID     `toml:"request-id"`
	RemoteIP      *RemoteIP      `toml:"remote-ip"`
	AccessLog     *AccessLog     `toml:"access-log"`
	StuckRequests *StuckRequests `toml:"stuck-requests"`
	ErrorReport   *ErrorReport   `toml:"error-report"`
	Health        *Health        `toml:"health"`
	RemoteAddress *RemoteAddress `toml:"remote-address"`
	Compression   *Compression   `toml:"compression"`
	// Custom holds valves that were linked in by name, with their own keys.
	Custom map[string]map[string]any `toml:"custom"`
}

// RequestID is [valves.request-id]: an id for each request, in a header.
type RequestID struct {
	Enabled bool   `toml:"enabled"`
	Header  string `toml:"header"`
	// Trust keeps an id that the request brought, if it looks like one.
	Trust bool `toml:"trust"`
}

// RemoteIP is [valves.remote-ip] (Tomcat's RemoteIpValve): who the client is when
// requests come through proxies.
type RemoteIP struct {
	Enabled         bool     `toml:"enabled"`
	Header          string   `toml:"header"`
	ProtocolHeader  string   `toml:"protocol-header"`
	HostHeader      string   `toml:"host-header"`
	PortHeader      string   `toml:"port-header"`
	ProxiesHeader   string   `toml:"proxies-header"`
	InternalProxies Networks `toml:"internal-proxies"`
	TrustedProxies  Networks `toml:"trusted-proxies"`
}

// AccessLog is [valves.access-log] (AccessLogValve, JsonAccessLogValve).
type AccessLog struct {
	Enabled bool   `toml:"enabled"`
	Format  string `toml:"format"` // pattern or json
	// Pattern is Tomcat's; "common" and "combined" stand for those formats.
	Pattern   string   `toml:"pattern"`
	Directory string   `toml:"directory"`
	Prefix    string   `toml:"prefix"`
	Suffix    string   `toml:"suffix"`
	Rotate    string   `toml:"rotate"`   // daily, hourly or never
	MaxSize   Size     `toml:"max-size"` // rotate when larger, 0 = never
	MaxDays   int      `toml:"max-days"` // remove older files, 0 = keep all
	Flush     Duration `toml:"flush"`    // at most this late; 0 = each line at once
	Exclude   []string `toml:"exclude"`  // path prefixes that are not logged
}

// StuckRequests is [valves.stuck-requests] (StuckThreadDetectionValve).
type StuckRequests struct {
	Enabled   bool     `toml:"enabled"`
	Threshold Duration `toml:"threshold"`
}

// ErrorReport is [valves.error-report] (ErrorReportValve).
type ErrorReport struct {
	Enabled    bool   `toml:"enabled"`
	ShowReport bool   `toml:"show-report"` // message and cause, else only the status
	ShowServer bool   `toml:"show-server"` // the server's name and version
	Format     string `toml:"format"`      // auto, html or json
}

// Health is [valves.health] (HealthCheckValve).
type Health struct {
	Enabled   bool   `toml:"enabled"`
	Path      string `toml:"path"`
	CheckApps bool   `toml:"check-apps"` // DOWN if an application has failed
}

// RemoteAddress is [valves.remote-address] (RemoteCIDRValve).
type RemoteAddress struct {
	Enabled bool     `toml:"enabled"`
	Allow   Networks `toml:"allow"`
	Deny    Networks `toml:"deny"`
	Status  int      `toml:"status"`
	// UsePeer looks at the address of the connection, not at the client
	// that remote-ip found.
	UsePeer bool `toml:"use-peer"`
}

// Compression is [valves.compression].
type Compression struct {
	Enabled bool     `toml:"enabled"`
	MinSize Size     `toml:"min-size"`
	Types   []string `toml:"types"`
	Level   int      `toml:"level"`
	Zstd    bool     `toml:"zstd"`
}

// defaultValves is the server's pipeline when the file does not mention it.
func defaultValves() Valves {
	v := Valves{AccessLog: &AccessLog{}, StuckRequests: &StuckRequests{}, ErrorReport: &ErrorReport{}}
	v.AccessLog.SetDefaults()
	v.StuckRequests.SetDefaults()
	v.ErrorReport.SetDefaults()
	return v
}

// SetDefaults gives [valves.request-id] its defaults.
func (v *RequestID) SetDefaults() { *v = RequestID{Enabled: true, Header: "X-Request-Id"} }

// SetDefaults gives [valves.remote-ip] its defaults, which are Tomcat's.
func (v *RemoteIP) SetDefaults() {
	*v = RemoteIP{
		Enabled: true, Header: "X-Forwarded-For", ProtocolHeader: "X-Forwarded-Proto", ProxiesHeader: "X-Forwarded-By",
		InternalProxies: mustNetworks("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16",
			"100.64.0.0/10", "127.0.0.0/8", "::1", "fe80::/10", "fc00::/7"),
	}
}

// SetDefaults gives [valves.access-log] its defaults.
func (v *AccessLog) SetDefaults() {
	*v = AccessLog{
		Enabled: true, Format: "pattern", Pattern: "common", Directory: "logs", Prefix: "access_log", Suffix: ".txt",
		Rotate: "daily", Flush: Duration(time.Second),
	}
}

// SetDefaults gives [valves.stuck-requests] its defaults.
func (v *StuckRequests) SetDefaults() {
	*v = StuckRequests{Enabled: true, Threshold: Duration(10 * time.Minute)}
}

// SetDefaults gives [valves.error-report] its defaults.
func (v *ErrorReport) SetDefaults() {
	*v = ErrorReport{Enabled: true, ShowReport: true, Format: "auto"}
}

// SetDefaults gives [valves.health] its defaults.
func (v *Health) SetDefaults() { *v = Health{Enabled: true, Path: "/health", CheckApps: true} }

// SetDefaults gives [valves.remote-address] its defaults.
func (v *RemoteAddress) SetDefaults() { *v = RemoteAddress{Enabled: true, Status: 403} }

// SetDefaults gives [valves.compression] its defaults.
func (v *Compression) SetDefaults() {
	*v = Compression{
		Enabled: true, MinSize: 2 << 10, Level: 6, Zstd: true,
		Types: []string{
			"text/html", "text/xml", "text/plain", "text/css", "text/javascript",
			"application/javascript", "application/json", "application/xml", "image/svg+xml",
		},
	}
}
