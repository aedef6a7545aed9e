package testapp

import (
	"fmt"
	"strings"
	"time"

	"github.com/serval-server/serval/webapp/servlet"
)

// vars prints the echo line with the request's attributes.
func (c *run) vars() {
	o := describe(c.r, c.name)
	var attrs object
	for _, n := range servlet.AttributeNames(c.r) { // sorted
		if strings.HasPrefix(n, "jakarta.servlet.request.") {
			continue
		}
		if strings.HasPrefix(n, "jakarta.servlet.") || strings.HasPrefix(n, "k") {
			attrs.put(n, c.attribute(n))
		}
	}
	if attrs == nil {
		attrs = object{}
	}
	o.put("attrs", attrs)
	o.put("method", c.r.Method)
	o.put("status", servlet.StatusOf(c.w))
	c.out(quote(o) + "\n")
}

// attribute gives an attribute the form in which it was recorded.
func (c *run) attribute(name string) any {
	switch v := servlet.Attribute(c.r, name).(type) {
	case error:
		return "throwable:" + className(v) + ":" + v.Error()
	case servlet.Mapping:
		return mappingText(v, c.mappedInfo(name))
	case string:
		if name == servlet.AttrErrorExceptionType {
			return "class:" + v
		}
		return v
	case int:
		return v
	case nil:
		return nil
	default:
		return fmt.Sprint(v)
	}
}

// mappedInfo is the path info that goes with a mapping attribute.
func (c *run) mappedInfo(name string) string {
	s, _ := servlet.Attribute(c.r, strings.TrimSuffix(name, "mapping")+"path_info").(string)
	return s
}

func mappingText(m servlet.Mapping, pathInfo string) string {
	value := any("null")
	if v := matchValue(m, pathInfo); v != nil {
		value = v
	}
	return fmt.Sprintf("mapping:%s:%v:%s:%s", match(m), value, m.Pattern, m.Servlet)
}

// throwKind panics with an error of a kind.
func throwKind(kind, msg string) {
	java := func(class string, cause error) error { return &Throwable{Class: class, Message: msg, Cause: cause} }
	const servletException = "jakarta.servlet.ServletException"
	root := &Throwable{Class: "java.lang.IllegalStateException", Message: "root-" + msg}
	var err error
	switch kind {
	case "servletroot":
		err = java(servletException, root)
	case "servletioroot":
		err = java(servletException, &Throwable{Class: "java.io.FileNotFoundException", Message: "root-" + msg})
	case "servletnested":
		err = java(servletException, &Throwable{Class: servletException, Message: "mid-" + msg, Cause: root})
	case "runtimecause":
		err = java("java.lang.RuntimeException", root)
	case "unavail":
		err = &servlet.Unavailable{Reason: msg, RetryAfter: time.Hour}
	case "unavailperm":
		err = &servlet.Unavailable{Reason: msg, Permanent: true}
	default:
		class, ok := map[string]string{
			"runtime": "java.lang.RuntimeException", "state": "java.lang.IllegalStateException",
			"argument": "java.lang.IllegalArgumentException", "npe": "java.lang.NullPointerException",
			"io": "java.io.IOException", "fnf": "java.io.FileNotFoundException",
			"servlet": servletException, "error": "java.lang.Error", "assert": "java.lang.AssertionError",
			"app": "oracle.ScriptServlet$AppException", "subapp": "oracle.ScriptServlet$SubAppException",
		}[kind]
		if !ok {
			class, msg = servletException, "unknown throw "+kind
		}
		err = java(class, nil)
	}
	panic(err)
}
