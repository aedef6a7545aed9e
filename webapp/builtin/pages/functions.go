package pages

import (
	"fmt"
	"html/template"
	"strings"
	"time"
)

// functions are what pages can call besides those of html/template.
var functions = template.FuncMap{
	"now":       time.Now,                                                            // {{now.Year}}
	"date":      func(layout string, t time.Time) string { return t.Format(layout) }, // {{date "2006-01-02" .Session.Created}}
	"dict":      dict,                                                                // {{template "card.gohtml" dict "title" "A" "of" .}}
	"list":      func(v ...any) []any { return v },
	"default":   orDefault, // {{.Request.Param "q" | default "nothing"}}
	"add":       func(a, b int) int { return a + b },
	"sub":       func(a, b int) int { return a - b },
	"mul":       func(a, b int) int { return a * b },
	"upper":     strings.ToUpper,
	"lower":     strings.ToLower,
	"trim":      strings.TrimSpace,
	"join":      func(sep string, list []string) string { return strings.Join(list, sep) },
	"split":     func(sep, s string) []string { return strings.Split(s, sep) },
	"hasPrefix": func(prefix, s string) bool { return strings.HasPrefix(s, prefix) },
}

// dict makes a map of names and values, to hand several things to a part.
func dict(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, fmt.Errorf("dict has %d arguments; it wants a name before each value", len(pairs))
	}
	m := make(map[string]any, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("dict: argument %d is a %T; a name is a string", i+1, pairs[i])
		}
		m[name] = pairs[i+1]
	}
	return m, nil
}

// orDefault is the value, or the default for nil and "".
func orDefault(def, value any) any {
	if value == nil || value == "" {
		return def
	}
	return value
}
