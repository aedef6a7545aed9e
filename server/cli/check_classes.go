package cli

import (
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/serval-server/serval/descriptor"
	"github.com/serval-server/serval/webapp/builtin"
	"github.com/serval-server/serval/webapp/servlet"
)

// classes checks that the classes which a bundle names are there, as far as that can
// be known without running it: one that has a program of its own may have them all,
// so only names that look like Java's are worth a warning.
func (k *checker) classes(p string, model *descriptor.WebApp, fsys fs.FS) {
	own := hasProgram(fsys)
	app, linked := k.e.Linked[model.Runtime.App]
	err := model.CheckClasses(func(kind descriptor.ComponentKind, class string) bool {
		switch {
		case kind == descriptor.ServletComponent && slices.Contains(builtin.ServletNames(), class),
			kind == descriptor.FilterComponent && slices.Contains(builtin.FilterNames(), class):
			return true
		case own && !linked:
			return !looksLikeJava(class)
		}
		return linked && offers(&app, kind, class)
	})
	if err == nil {
		return
	}
	d, ok := errors.AsType[descriptor.Diagnostic](err)
	if !ok {
		k.fail(p, descriptor.KindClass, err)
		return
	}
	if own && !linked {
		d.Severity = descriptor.SeverityWarning
	}
	k.found = append(k.found, d)
}

// hasProgram reports whether a bundle brings its own code.
func hasProgram(fsys fs.FS) bool {
	for _, name := range []string{"WEB-INF/bin", "WEB-INF/app.wasm", "WEB-INF/src"} {
		if _, err := fs.Stat(fsys, name); err == nil {
			return true
		}
	}
	return false
}

// looksLikeJava reports whether a name looks like a.package.Class.
func looksLikeJava(class string) bool {
	i := strings.LastIndexByte(class, '.')
	return i > 0 && i+1 < len(class) && class[i+1] >= 'A' && class[i+1] <= 'Z'
}

// offers reports whether a linked application has a component.
func offers(app *servlet.App, kind descriptor.ComponentKind, class string) bool {
	var ok, made bool
	switch kind {
	case descriptor.ServletComponent:
		_, ok = app.Servlets[class]
		_, made = app.NewServlets[class]
	case descriptor.FilterComponent:
		_, ok = app.Filters[class]
		_, made = app.NewFilters[class]
	case descriptor.ListenerComponent:
		_, ok = app.Listeners[class]
	case descriptor.PolicyComponent:
		_, ok = app.Policies[class]
	}
	return ok || made
}
