package pages

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Config is what the init parameters of the servlet say.
type Config struct {
	// Development shows errors with their source in the browser. Default false.
	Development bool
	// Page is the one page of this servlet, as a path in the bundle (what
	// jsp-file names). Default "": the request's path names the page.
	Page string
	// Init are all the parameters, for the pages.
	Init map[string]string
}

// ParseParams reads the init parameters development and page; all others are
// the application's own.
func ParseParams(params map[string]string) (Config, error) {
	c := Config{Init: maps.Clone(params)}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(params)) {
		value := strings.TrimSpace(params[name])
		switch name {
		case "development":
			switch strings.ToLower(value) {
			case "true":
				c.Development = true
			case "false":
			default:
				errs = append(errs, fmt.Errorf("init-param development: %q: allowed is true or false", value))
			}
		case "page":
			if !strings.HasPrefix(value, "/") {
				errs = append(errs, fmt.Errorf("init-param page: %q: a path of the bundle begins with /", value))
			}
			c.Page = value
		}
	}
	return c, errors.Join(errs...)
}
