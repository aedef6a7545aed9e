package webapp

import (
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/serval-server/serval/descriptor"
	"github.com/serval-server/serval/webapp/builtin/mime"
	"github.com/serval-server/serval/webapp/mapper"
	"github.com/serval-server/serval/webapp/servlet"
)

type noFiles struct{}

func (noFiles) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// config is the application as its own code shall see it.
func (c *Context) config() servlet.ContextConfig {
	cfg := servlet.ContextConfig{
		Path:              c.opts.Path,
		Version:           c.opts.Version,
		Name:              c.d.DisplayName,
		Params:            contextParams(c.d),
		FS:                c.opts.FS,
		Dir:               c.opts.Dir,
		TempDir:           c.opts.TempDir,
		Logger:            c.log,
		MIME:              mimeTypes(c.d.MimeMappings),
		SessionTimeout:    c.d.SessionConfig.Timeout,
		Sessions:          sessionRules(c.d, c.opts.Sessions.Replicator != nil),
		RequestEncoding:   c.d.RequestEncoding,
		ResponseEncoding:  c.d.ResponseEncoding,
		AbsoluteRedirects: c.d.Context.UseRelativeRedirects != nil && !*c.d.Context.UseRelativeRedirects,
	}
	for _, s := range c.d.Servlets {
		cfg.Servlets = append(cfg.Servlets, s.Name)
	}
	if len(c.d.LocaleEncodings) > 0 {
		cfg.LocaleEncodings = make(map[string]string, len(c.d.LocaleEncodings))
		for _, l := range c.d.LocaleEncodings {
			cfg.LocaleEncodings[l.Locale] = l.Encoding
		}
	}
	if c.opts.Cross != nil {
		cfg.Lookup = func(path string) *servlet.Context {
			o := c.opts.Cross(path)
			if o == nil || o != c && !isTrue(c.d.Context.CrossContext) {
				return nil
			}
			return o.app
		}
	}
	return cfg
}

func isTrue(b *bool) bool { return b != nil && *b }

// contextParams merges the context file's Parameter elements: one with
// override=false wins over the descriptor's (Tomcat's Parameter element).
func contextParams(d *descriptor.WebApp) map[string]string {
	m := descriptor.Params(d.ContextParams)
	for _, p := range d.Context.Parameters {
		if _, ok := m[p.Name]; !ok || !p.Override {
			m[p.Name] = p.Value
		}
	}
	return m
}

func mimeTypes(list []descriptor.MimeMapping) func(string) string {
	m := make(map[string]string, len(list))
	for _, t := range list {
		if _, ok := m[t.Extension]; !ok {
			m[t.Extension] = t.Type
		}
	}
	return func(ext string) string {
		if t := m[ext]; t != "" {
			return t
		}
		return mime.ByExtension(ext)
	}
}

func sessionRules(d *descriptor.WebApp, replicated bool) servlet.SessionRules {
	r := servlet.SessionRules{
		UnencodableLocal: d.Replication.NonSerializable == "local",
		KeepDecoded:      d.SessionConfig.Serialized,
	}
	if d.Distributable {
		r.SetOnly = d.Replication.Trigger == descriptor.TriggerSet
		r.Replicated = replicated
		r.ReportReads = d.Replication.Trigger == descriptor.TriggerSetAndGet
	}
	return r
}

// newTable makes the table of the servlets' url-patterns.
func (c *Context) newTable() (*mapper.Table, error) {
	cfg := mapper.Config{
		Welcome:           c.d.WelcomeFiles,
		NoRootRedirect:    c.d.Context.MapperContextRootRedirectEnabled != nil && !*c.d.Context.MapperContextRootRedirectEnabled,
		DirectoryRedirect: isTrue(c.d.Context.MapperDirectoryRedirectEnabled),
		IsFile:            c.isFile,
		IsDir:             c.isDir,
	}
	resourceOnly := c.d.Context.ResourceOnlyServlets
	if resourceOnly == nil {
		resourceOnly = []string{"jsp", pagesServlet}
	}
	for _, m := range c.d.ServletMappings {
		for _, p := range m.Patterns {
			cfg.Mappings = append(cfg.Mappings, mapper.Mapping{
				Pattern: p.URL, Servlet: m.Servlet, ResourceOnly: slices.Contains(resourceOnly, m.Servlet),
			})
		}
	}
	return mapper.NewTable(cfg)
}

func (c *Context) isFile(p string) bool {
	i, err := fs.Stat(c.opts.FS, fsName(p))
	return err == nil && i.Mode().IsRegular()
}

func (c *Context) isDir(p string) bool {
	i, err := fs.Stat(c.opts.FS, fsName(p))
	return err == nil && i.IsDir()
}

// fsName is the name in an fs.FS of a path of the application.
func fsName(p string) string {
	name := strings.TrimPrefix(path.Clean(p), "/")
	if name == "" {
		return "."
	}
	return name
}

// definition is what a program needs of a servlet element.
func definition(s *descriptor.Servlet) servlet.Definition {
	d := servlet.Definition{Name: s.Name, Class: s.Class, Params: descriptor.Params(s.InitParams)}
	if m := s.Multipart; m != nil {
		d.Multipart = &servlet.MultipartConfig{
			Location: m.Location, MaxFileSize: m.MaxFileSize, MaxRequestSize: m.MaxRequestSize, FileSizeThreshold: m.FileSizeThreshold,
		}
	}
	if s.JSPFile != "" {
		// A page in place of a class: the servlet that ships for pages
		// serves this one, whatever the path.
		d.Class, d.Params = pagesServlet, withParam(d.Params, "page", s.JSPFile)
	}
	return d
}

// pagesServlet is the name of the builtin servlet for pages.
const pagesServlet = "gohtml"

func withParam(m map[string]string, name, value string) map[string]string {
	if m == nil {
		m = map[string]string{}
	}
	m[name] = value
	return m
}
