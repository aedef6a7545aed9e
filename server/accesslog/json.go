package accesslog

import "strings"

// jsonKeys are the keys of Tomcat's JsonAccessLogValve by code.
var jsonKeys = map[byte]string{
	'a': "remoteAddr", 'A': "localAddr", 'b': "size", 'B': "byteSentNC", 'D': "elapsedTime", 'F': "firstByteTime",
	'h': "host", 'H': "protocol", 'I': "threadName", 'l': "logicalUserName", 'm': "method", 'p': "port", 'q': "query",
	'r': "request", 's': "statusCode", 'S': "sessionId", 't': "time", 'T': "elapsedTimeS", 'u': "user", 'U': "path",
	'v': "localServerName", 'X': "connectionStatus", 'L': "connection",
}

// jsonGroups are the objects that hold the codes with a name of the client's or
// application's choice.
var jsonGroups = map[byte]string{
	'c': "cookies", 'i': "requestHeaders", 'o': "responseHeaders", 'r': "requestAttributes", 's': "sessionAttributes",
}

var numeric = map[byte]bool{'B': true, 'D': true, 'F': true, 's': true, 'T': true}

// ParseJSON compiles a pattern into one whose lines are JSON objects: the codes
// choose the keys, the text between them is dropped. Fields with a name of their
// own, such as %{Referer}i, stand in an object of their kind.
func ParseJSON(pattern string) (*Pattern, error) {
	p, err := Parse(pattern)
	if err != nil {
		return nil, err
	}
	out := &Pattern{needApp: p.needApp}
	add := func(s string) {
		out.fields = append(out.fields, field{append: func(dst []byte, _ *Entry) []byte { return append(dst, s...) }})
	}
	sep := "{"
	groups := map[byte][]field{}
	var order []byte
	seen := map[string]bool{}
	for _, f := range p.fields {
		if f.code == 0 {
			continue
		}
		if f.arg != "" && jsonGroups[f.code] != "" {
			if len(groups[f.code]) == 0 {
				order = append(order, f.code)
			}
			groups[f.code] = append(groups[f.code], f)
			continue
		}
		key := jsonKeys[f.code]
		if f.arg != "" {
			key += "-" + f.arg
		}
		if seen[key] {
			continue
		}
		seen[key] = true
		add(sep + quoted(key) + ":")
		out.value(f)
		sep = ","
	}
	for _, code := range order {
		add(sep + quoted(jsonGroups[code]) + ":")
		inner := "{"
		for _, f := range groups[code] {
			add(inner + quoted(f.arg) + ":")
			out.value(f)
			inner = ","
		}
		add("}")
		sep = ","
	}
	if sep == "{" {
		add("{")
	}
	add("}")
	return out, nil
}

// value adds a field as a JSON value. The escapes of the text format are JSON's,
// so what a field appends only needs its quotes.
func (p *Pattern) value(f field) {
	if f.arg == "" && numeric[f.code] || f.code == 'T' {
		p.fields = append(p.fields, f)
		return
	}
	inner := f.append
	f.append = func(dst []byte, e *Entry) []byte { return append(inner(append(dst, '"'), e), '"') }
	p.fields = append(p.fields, f)
}

func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	b.Write(appendRaw(nil, s))
	b.WriteByte('"')
	return b.String()
}
