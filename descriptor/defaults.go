package descriptor

import (
	_ "embed"
	"strings"
)

// fromParams takes the runtime's settings from context parameters that begin with
// "serval.runtime.", where [runtime] has not made them.
func (c *Runtime) fromParams(r *reader, params []Param) {
	var from Runtime
	for _, p := range params {
		name, ok := strings.CutPrefix(p.Name, runtimePrefix)
		if !ok {
			continue
		}
		if set := runtimeKeys[name]; set != nil {
			set(r, &from, value{name: p.Name, text: p.Value, pos: p.Pos})
			continue
		}
		if name, ok := strings.CutPrefix(name, "env."); ok {
			from.Env = append(from.Env, Param{Name: name, Value: p.Value, Pos: p.Pos})
			continue
		}
		r.errorf(p.Pos, "the context parameter %q is not known%s", p.Name, didYouMean(name, sortedRuntimeKeys()))
	}
	c.fill(&from)
}

func sortedRuntimeKeys() []string {
	m := map[string]bool{}
	for k := range runtimeKeys {
		m[k] = true
	}
	return sortedKeys(m)
}

// defaultsTOML is what every application gets where there is no conf/web.toml.
//
//go:embed defaults.toml
var defaultsTOML []byte

// BuiltinDefaults returns the defaults that hold where there is no conf/web.toml:
// the default servlet and the pages, welcome files, media types, UTF-8, and sessions of 30 minutes.
func BuiltinDefaults() *WebApp {
	app, ds := ParseWeb("built-in defaults", defaultsTOML, nil)
	if len(ds) > 0 {
		panic("descriptor: the built-in defaults are wrong: " + ds.String())
	}
	return app
}
