package descriptor

import (
	"maps"
	"slices"

	"github.com/serval-server/serval/descriptor/tomltree"
)

// contextTOML decodes context.toml.
type contextTOML struct {
	tomlReader
	ctx *ContextFile
}

func (t *contextTOML) decode(root *tomltree.Node) {
	t.ctx.Pos = t.at(root.Pos)
	k := t.setters(contextKeys)
	k["watched-resources"] = func(n *tomltree.Node) { t.ctx.WatchedResources = t.strings(n) }
	k["resource-only-servlets"] = func(n *tomltree.Node) { t.ctx.ResourceOnlyServlets = t.strings(n) }
	k["cookie-processor"] = t.section("[cookie-processor]", cookieProcessorKeys, &t.ctx.CookieProcessor.Pos)
	k["resources"] = t.section("[resources]", resourcesKeys, new(Pos))
	k["manager"] = t.manager
	k["parameter"] = t.tables(t.parameter)
	k["environment"] = t.tables(t.environment)
	k["valve"] = t.tables(t.valve)
	t.table(root, "context.toml", k)
}

// setters are the keys of a section: the attributes' names with hyphens.
func (t *contextTOML) setters(table map[string]func(*reader, *ContextFile, value)) keys {
	k := keys{}
	for _, name := range slices.Sorted(maps.Keys(table)) {
		set := table[name]
		k[kebab(name)] = t.into(func(v value) { set(&t.reader, t.ctx, v) })
	}
	return k
}

func (t *contextTOML) section(where string, table map[string]func(*reader, *ContextFile, value), at *Pos) func(*tomltree.Node) {
	return func(n *tomltree.Node) {
		*at = t.at(n.Pos)
		t.table(n, where, t.setters(table))
	}
}

func (t *contextTOML) tables(do func(*tomltree.Node)) func(*tomltree.Node) {
	return func(n *tomltree.Node) {
		t.each(n, func(c *tomltree.Node) {
			if t.isKind(c, tomltree.Table) {
				do(c)
			}
		})
	}
}

func (t *contextTOML) manager(n *tomltree.Node) {
	m := &t.ctx.Manager
	m.Pos = t.at(n.Pos)
	k := keys{}
	for name, set := range managerKeys {
		k[kebab(name)] = func(n *tomltree.Node) {
			v := t.value(n)
			m.Attributes = append(m.Attributes, Param{Name: name, Value: v.text, Pos: t.at(n.KeyPos)})
			set(&t.reader, m, v)
		}
	}
	t.table(n, "[manager]", k)
	t.checkManager(m, m.Pos)
}

func (t *contextTOML) parameter(n *tomltree.Node) {
	p := ContextParameter{Override: true, Pos: t.at(n.Pos)}
	t.table(n, "[[parameter]]", keys{
		"name":     t.into(func(v value) { p.Name = t.token(v) }),
		"value":    t.into(func(v value) { p.Value = v.text }),
		"override": t.into(func(v value) { p.Override = t.flag(v, true) }),
	})
	if n.Child("name") == nil {
		t.errorf(p.Pos, "[[parameter]] lacks its name")
	}
	t.ctx.Parameters = append(t.ctx.Parameters, p)
}

func (t *contextTOML) environment(n *tomltree.Node) {
	e := ContextEnvironment{Override: true, EnvEntry: EnvEntry{Type: "String", Pos: t.at(n.Pos)}}
	t.table(n, "[[environment]]", keys{
		"name":     t.into(func(v value) { e.Name = t.token(v) }),
		"type":     t.into(func(v value) { e.Type = t.token(v) }),
		"value":    t.into(func(v value) { e.Value = v.text }),
		"override": t.into(func(v value) { e.Override = t.flag(v, true) }),
	})
	t.checkEnvEntry(&e.EnvEntry)
	t.ctx.Environments = append(t.ctx.Environments, e)
}

func (t *contextTOML) valve(n *tomltree.Node) {
	v := ContextValve{Pos: t.at(n.Pos)}
	for _, p := range t.params(n) {
		if p.Name == "class" {
			v.Class = p.Value
			continue
		}
		v.Params = append(v.Params, p)
	}
	if v.Class == "" {
		t.errorf(v.Pos, "[[valve]] lacks its class")
	}
	t.warnf(v.Pos, "the valve %q of a context is not applied; valves are configured in conf/server.toml", v.Class)
	t.ctx.Valves = append(t.ctx.Valves, v)
}
