package descriptor

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/serval-server/serval/descriptor/tomltree"
)

// reader is what the decoders of all files and both syntaxes share: where findings
// go, and how text becomes values.
type reader struct {
	file  string
	env   func(string) (string, bool)
	diags Diagnostics
	// seen keeps a warning about the same thing from being repeated.
	seen map[string]bool
}

// value is one scalar of a descriptor with its name and place: an element's text,
// an attribute, or a TOML key.
type value struct {
	name string // as the author wrote it: <load-on-startup>, docBase, load-on-startup
	text string
	pos  Pos
	kind tomltree.Kind // "" for XML, where all is text
	// unknown is set if the text holds a placeholder that nobody resolved, or an
	// external entity. That has been reported; the value is not judged further.
	unknown bool
}

func (r *reader) errorf(p Pos, format string, args ...any) { r.diags.errorf(p, format, args...) }
func (r *reader) warnf(p Pos, format string, args ...any)  { r.diags.warnf(p, format, args...) }

// warnOnce warns about a thing of this key at its first place only.
func (r *reader) warnOnce(key string, p Pos, format string, args ...any) {
	if r.seen[key] {
		return
	}
	if r.seen == nil {
		r.seen = map[string]bool{}
	}
	r.seen[key] = true
	r.warnf(p, format, args...)
}

// want reports whether a TOML value has one of these types; XML always does.
func (r *reader) want(v value, kinds ...tomltree.Kind) bool {
	if v.unknown {
		return false
	}
	if v.kind == "" || slices.Contains(kinds, v.kind) {
		return true
	}
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = string(k)
	}
	r.errorf(v.pos, "%s is %s; it must be %s", v.name, article(v.kind), article(tomltree.Kind(strings.Join(names, " or "))))
	return false
}

// article puts "a" or "an" before a kind.
func article(k tomltree.Kind) string {
	if strings.ContainsAny(string(k[:1]), "aeiou") {
		return "an " + string(k)
	}
	return "a " + string(k)
}

// str returns a text, "" if it is of another type.
func (r *reader) str(v value) string {
	if v.kind != "" && !r.want(v, tomltree.String) {
		return ""
	}
	return v.text
}

// token is str for a name that must not be empty.
func (r *reader) token(v value) string {
	s := r.str(v)
	if s == "" && !v.unknown && (v.kind == "" || v.kind == tomltree.String) {
		r.errorf(v.pos, "%s is empty", v.name)
	}
	return s
}

// boolean reads true or false, of XML in any case, also yes and no (which the schemas of
// 2.4 allow).
func (r *reader) boolean(v value) *bool {
	if !r.want(v, tomltree.Bool) {
		return nil
	}
	var b bool
	switch strings.ToLower(v.text) {
	case "true", "yes":
		b = true
	case "false", "no":
	default:
		r.errorf(v.pos, "%s is %q; it must be true or false", v.name, v.text)
		return nil
	}
	return &b
}

// flag is boolean with a default for what could not be read.
func (r *reader) flag(v value, def bool) bool {
	if b := r.boolean(v); b != nil {
		return *b
	}
	return def
}

// integer reads a decimal number between two bounds.
func (r *reader) integer(v value, lo, hi int64) (int64, bool) {
	if !r.want(v, tomltree.Int) {
		return 0, false
	}
	n, err := strconv.ParseInt(v.text, 10, 64)
	if err != nil || n < lo || n > hi {
		r.errorf(v.pos, "%s is %q; it must be %s", v.name, v.text, intRange(lo, hi))
		return 0, false
	}
	return n, true
}

func intRange(lo, hi int64) string {
	switch {
	case lo <= math.MinInt32 && hi >= math.MaxInt32:
		return "a whole number"
	case hi >= math.MaxInt32:
		return fmt.Sprintf("a whole number, at least %d", lo)
	}
	return fmt.Sprintf("a whole number from %d to %d", lo, hi)
}

// int32 reads a number that a Java int holds.
func (r *reader) int32(v value, lo int64) *int {
	n, ok := r.integer(v, lo, math.MaxInt32)
	if !ok {
		return nil
	}
	i := int(n)
	return &i
}

// enum reads one of the allowed words, exactly.
func enum[T ~string](r *reader, v value, allowed ...T) T {
	if !r.want(v, tomltree.String) {
		return ""
	}
	for _, a := range allowed {
		if v.text == string(a) {
			return a
		}
	}
	words := make([]string, len(allowed))
	for i, a := range allowed {
		words[i] = string(a)
	}
	r.errorf(v.pos, "%s is %q; it must be %s%s", v.name, v.text, orList(words), didYouMean(strings.ToUpper(v.text), words))
	return ""
}

// orList joins words as "A, B or C".
func orList(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// duration reads a number of units, or in TOML also a text such as "90s" or "30m".
func (r *reader) duration(v value, unit time.Duration, unitName string, lo int64) (time.Duration, bool) {
	hi := min(math.MaxInt32, math.MaxInt64/int64(unit))
	lo = max(lo, -hi)
	if v.kind == tomltree.String {
		if v.unknown {
			return 0, false
		}
		d, err := time.ParseDuration(v.text)
		if err != nil || d < time.Duration(lo)*unit {
			r.errorf(v.pos, "%s is %q; it must be a duration such as \"90s\" or \"30m\", or a number of %s", v.name, v.text, unitName)
			return 0, false
		}
		return d, true
	}
	if !r.want(v, tomltree.Int) {
		return 0, false
	}
	n, err := strconv.ParseInt(v.text, 10, 64)
	if err != nil || n < lo || n > hi {
		least := ""
		if lo > -hi {
			least = fmt.Sprintf(", at least %d", lo)
		}
		r.errorf(v.pos, "%s is %q; it must be a whole number of %s%s", v.name, v.text, unitName, least)
		return 0, false
	}
	return time.Duration(n) * unit, true
}

// sizeUnits are the units of a size in TOML: powers of 1024, whose short names are taken too.
var sizeUnits = []struct {
	suffixes []string
	factor   int64
}{
	{[]string{"GIB", "GB", "G"}, 1 << 30},
	{[]string{"MIB", "MB", "M"}, 1 << 20},
	{[]string{"KIB", "KB", "K"}, 1 << 10},
	{[]string{"B", ""}, 1},
}

// size reads a number of bytes, or in TOML also a text such as "64MiB".
func (r *reader) size(v value, lo int64) (int64, bool) {
	if v.unknown {
		return 0, false
	}
	if n, ok := parseSize(v.text); ok && n >= lo && (v.kind == "" || v.kind == tomltree.String) {
		return n, true
	}
	if v.kind != tomltree.String {
		return r.integer(v, lo, math.MaxInt64)
	}
	r.errorf(v.pos, "%s is %q; it must be a size such as \"64MiB\" or \"512KiB\", or a number of bytes", v.name, v.text)
	return 0, false
}

func parseSize(text string) (int64, bool) {
	text = strings.ToUpper(strings.ReplaceAll(text, " ", ""))
	for _, u := range sizeUnits {
		for _, suffix := range u.suffixes {
			digits, ok := strings.CutSuffix(text, suffix)
			if !ok {
				continue
			}
			if n, err := strconv.ParseInt(digits, 10, 64); err == nil && n >= 0 && n <= math.MaxInt64/u.factor {
				return n * u.factor, true
			}
		}
	}
	return 0, false
}
