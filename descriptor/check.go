package descriptor

import (
	"path"
	"strings"

	"github.com/serval-server/serval/descriptor/internal/xmltree"
)

// CheckFile reads one lone file and reports what is wrong with it. Its kind (web
// descriptor, fragment, jboss-web, context, server.xml) follows from the root
// element of XML and from the file's name for TOML (a name with "context" in it is a
// context, with "fragment" a fragment, all else web.toml). Classes that cannot be known
// without the bundle's program are warnings, as are unresolved placeholders; the
// environment is not looked at.
func CheckFile(name string, data []byte) Diagnostics {
	var ds Diagnostics
	if isTOML(name, data) {
		ds = checkTOML(name, data)
	} else {
		ds = checkXML(name, data)
	}
	ds.sort()
	return ds
}

func checkTOML(name string, data []byte) Diagnostics {
	base := strings.ToLower(path.Base(name))
	if strings.Contains(base, "context") {
		_, ds := ParseContext(name, data, nil)
		return ds
	}
	root, in := "web-app", scopeFile
	if strings.Contains(base, "fragment") {
		root, in = "web-fragment", scopeFragment
	}
	app, ds := parseWeb(name, data, nil, root)
	return app.checkLone(ds, in)
}

// checkLone validates one web descriptor by itself.
func (w *WebApp) checkLone(ds Diagnostics, in scope) Diagnostics {
	for _, d := range ds {
		if d.Kind == KindSyntax {
			return ds
		}
	}
	w.translate()
	w.validate(&ds, in)
	w.warnClasses(&ds)
	w.Replication.withDefaults()
	w.Replication.check(&ds, &WebApp{SessionConfig: w.SessionConfig, Distributable: true})
	w.JBoss.check(&ds, w)
	return ds
}

func checkXML(name string, data []byte) Diagnostics {
	x := &xmlReader{reader: reader{file: name}}
	doc := x.open(data)
	if doc == nil {
		return x.diags
	}
	root := doc.Root
	switch root.Local {
	case "web-app", "web-fragment":
		if root.Space != "" && family(root.Space) != familyServlet {
			x.warnf(x.at(root.Pos), "the document is not a servlet descriptor: its root element <%s> is in the namespace %q; it is not looked into", root.Local, root.Space)
			return x.diags
		}
		app, ds := parseWeb(name, data, nil, "")
		in := scopeFile
		if root.Local == "web-fragment" {
			in = scopeFragment
		}
		return app.checkLone(ds, in)
	case "jboss-web", "jboss", "distributable-web":
		return checkJBoss(x, doc)
	case "Context":
		_, ds := ParseContext(name, data, nil)
		return ds
	case "Server":
		_, ds := ConvertServer(name, data)
		return ds
	}
	x.errorf(x.at(root.Pos), "the root element <%s> is of no descriptor that Serval reads: <web-app>, <web-fragment>, <jboss-web>, <jboss>, <distributable-web>, <Context> and <Server> are", root.Local)
	return x.diags
}

func checkJBoss(x *xmlReader, doc *xmltree.Document) Diagnostics {
	app := &WebApp{Distributable: true}
	j := &jbossXML{xmlReader: *x, replication: &app.Replication, jboss: &app.JBoss}
	j.decode(doc.Root)
	app.checkVendor(&j.diags)
	return j.diags
}

// checkVendor looks at a lone jboss-web.xml as a whole.
func (w *WebApp) checkVendor(ds *Diagnostics) {
	w.translate()
	w.Replication.withDefaults()
	w.Replication.check(ds, w)
	w.JBoss.check(ds, w)
	w.warnClasses(ds)
}
