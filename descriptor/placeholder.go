package descriptor

import (
	"regexp"
	"strings"
)

// buildPlaceholder is what a build tool should have replaced: @version@, @JAVA.HOME@.
var buildPlaceholder = regexp.MustCompile(`@[A-Za-z_][A-Za-z0-9_.-]*@`)

// substitute replaces ${name} and ${name:default} by the environment's values. A
// name may be an environment variable, "env." and one, or a property in dots,
// which stands for the variable in capitals (shop.timeout is SHOP_TIMEOUT). What cannot
// be resolved stays as it is, with a warning, and ok is false.
func (r *reader) substitute(text, what string, at Pos) (out string, ok bool) {
	ok = true
	if m := buildPlaceholder.FindString(text); m != "" {
		r.warnf(at, "%s holds the placeholder %s, which the application's build did not replace", what, m)
		ok = false
	}
	if !strings.Contains(text, "${") {
		return text, ok
	}
	out, missing := r.expand(text, 0)
	for _, name := range missing {
		r.warnf(at, "%s holds the placeholder ${%s}, which is not set in the environment and has no default", what, name)
		ok = false
	}
	return out, ok
}

// maxPlaceholderDepth bounds defaults within defaults.
const maxPlaceholderDepth = 8

func (r *reader) expand(text string, depth int) (out string, missing []string) {
	var b strings.Builder
	for {
		i := strings.Index(text, "${")
		if i < 0 || depth > maxPlaceholderDepth {
			b.WriteString(text)
			return b.String(), missing
		}
		end := closingBrace(text[i:])
		if end < 0 {
			b.WriteString(text)
			return b.String(), missing
		}
		b.WriteString(text[:i])
		whole, inner := text[i:i+end+1], text[i+2:i+end]
		text = text[i+end+1:]
		name, def, hasDefault := strings.Cut(inner, ":")
		if v, ok := r.lookupEnv(strings.TrimSpace(name)); ok {
			b.WriteString(v)
			continue
		}
		if !hasDefault {
			missing = append(missing, inner)
			b.WriteString(whole)
			continue
		}
		v, more := r.expand(def, depth+1)
		missing = append(missing, more...)
		b.WriteString(v)
	}
}

// closingBrace returns the offset of the brace that closes the one in "${", or -1.
func closingBrace(s string) int {
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

func (r *reader) lookupEnv(name string) (string, bool) {
	if r.env == nil || name == "" {
		return "", false
	}
	upper := strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(name))
	for _, n := range []string{name, strings.TrimPrefix(name, "env."), upper} {
		if v, ok := r.env(n); ok {
			return v, true
		}
	}
	return "", false
}
