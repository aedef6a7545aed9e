package deploy

// action is what a change of files asks for.
type action int

const (
	actNone action = iota
	// actReload and actRedeploy start a new generation and exchange it for
	// the old one. They differ in name only: both read all descriptors anew.
	actReload
	actRedeploy
	// actUndeploy stops the application, deletes what decision says, and
	// deploys again what is left, if anything.
	actUndeploy
)

func (a action) String() string {
	return [...]string{"none", "reload", "redeploy", "undeploy"}[a]
}

// decision is an action with its side effects on files.
type decision struct {
	action action
	why    string
	// dropXML and dropDir delete the context file or the folder. A redeploy
	// does so when it has succeeded, and not to the folder that it unpacked.
	dropXML, dropDir bool
	// unpack replaces the folder by a fresh unpacking of the zip.
	unpack bool
	// replaced is a folder that has been moved away for the new bundle.
	replaced string
	// ignored is a file that was added and has no effect, for a warning.
	ignored string
}

// origin says how the sources were used at the latest attempt to deploy.
type origin struct {
	// docBase is the external bundle that the context file names, or "".
	docBase string
	// unpacked is whether the folder in the appBase holds an unpacked zip.
	unpacked bool
	// copied is whether context files are copied from bundles (copyXML and
	// deployXML), so that the one in the xmlBase goes with the bundle.
	copied bool
}

// decide compares the sources of an application at its latest attempt with
// those of now. The rules are Tomcat's (Automatic Deployment - Use cases):
// zip, folder and context file are looked at in this order; what disappears
// takes with it what comes later; what is outside of the appBase and the
// xmlBase is never deleted.
func decide(o origin, was, now sources) decision {
	if o.docBase != "" {
		return decideExternal(o, was, now)
	}
	warGone, warNew := was.war.exists && !now.war.exists, !was.war.exists && now.war.exists
	dirGone, dirNew := was.dir.exists && !now.dir.exists, !was.dir.exists && now.dir.exists
	switch {
	case now.gone():
		return decision{action: actUndeploy, why: "its files were removed"}
	case warGone:
		return decision{action: actUndeploy, why: "its zip was removed", dropDir: now.dir.exists, dropXML: o.copied && now.xml.exists}
	case warNew:
		return decision{action: actRedeploy, why: "a zip was added", unpack: true, dropDir: now.dir.exists}
	case dirGone && !now.war.exists:
		return decision{action: actUndeploy, why: "its folder was removed", dropXML: o.copied && now.xml.exists}
	case dirGone && o.unpacked:
		return decision{action: actRedeploy, why: "the unpacked folder was removed", unpack: true, dropXML: o.copied && now.xml.exists}
	case dirNew && !now.war.exists:
		return decision{action: actRedeploy, why: "a folder was added"}
	case was.xml != now.xml:
		return decision{action: actRedeploy, why: "the context file was added, changed or removed", unpack: was.war != now.war}
	case was.war != now.war && now.xml.exists:
		return decision{action: actReload, why: "the zip has changed", unpack: true}
	case was.war != now.war:
		return decision{action: actRedeploy, why: "the zip has changed", unpack: true}
	case was.embedded != now.embedded && !now.xml.exists && (o.unpacked || !now.war.exists):
		return decision{action: actRedeploy, why: "the bundle's context file has changed"}
	case dirNew:
		return decision{ignored: now.dir.path}
	}
	return decision{}
}

// decideExternal is decide for a bundle that lies outside of the appBase. A
// folder in the appBase is then an unpacked zip or has no effect.
func decideExternal(o origin, was, now sources) decision {
	switch {
	case !now.xml.exists:
		return decision{action: actUndeploy, why: "its context file was removed", dropDir: o.unpacked && now.dir.exists}
	case was.ext.exists && !now.ext.exists:
		return decision{action: actUndeploy, why: "its docBase was removed", dropDir: o.unpacked && now.dir.exists}
	case was.xml != now.xml:
		return decision{action: actRedeploy, why: "the context file has changed", unpack: was.ext != now.ext}
	case !was.ext.exists && now.ext.exists:
		return decision{action: actRedeploy, why: "its docBase was added", unpack: true}
	case was.ext != now.ext:
		return decision{action: actReload, why: "its docBase has changed", unpack: true}
	case o.unpacked && was.dir.exists && !now.dir.exists:
		return decision{action: actRedeploy, why: "the unpacked folder was removed", unpack: true}
	case !was.war.exists && now.war.exists:
		return decision{ignored: now.war.path}
	case !o.unpacked && !was.dir.exists && now.dir.exists:
		return decision{ignored: now.dir.path}
	}
	return decision{}
}
