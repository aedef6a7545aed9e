package accesslog

import (
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// timeField is %{format}t: begin: or end: before it chooses the moment; sec, msec
// and msec_frac are numbers, anything else is a pattern of Java's SimpleDateFormat.
func timeField(arg string) (field, error) {
	moment := func(e *Entry) time.Time { return e.Start }
	format, ok := strings.CutPrefix(arg, "begin:")
	if !ok {
		if format, ok = strings.CutPrefix(arg, "end:"); ok {
			moment = func(e *Entry) time.Time { return e.Start.Add(e.Elapsed) }
		}
	}
	switch format {
	case "", "begin", "end":
		if format == "end" {
			moment = func(e *Entry) time.Time { return e.Start.Add(e.Elapsed) }
		}
		var cache secondCache
		return field{append: func(dst []byte, e *Entry) []byte { return cache.append(dst, moment(e)) }}, nil
	case "sec":
		return field{append: func(dst []byte, e *Entry) []byte { return strconv.AppendInt(dst, moment(e).Unix(), 10) }}, nil
	case "msec":
		return field{append: func(dst []byte, e *Entry) []byte { return strconv.AppendInt(dst, moment(e).UnixMilli(), 10) }}, nil
	case "msec_frac":
		return field{append: func(dst []byte, e *Entry) []byte { return appendMillis(dst, moment(e)) }}, nil
	}
	parts, err := javaDate(format)
	if err != nil {
		return field{}, fmt.Errorf("%%{%s}t: %w", arg, err)
	}
	return field{append: func(dst []byte, e *Entry) []byte {
		at := moment(e)
		for _, p := range parts {
			dst = p(dst, at)
		}
		return dst
	}}, nil
}

// commonLayout is the time of the common log format.
const commonLayout = "[02/Jan/2006:15:04:05 -0700]"

// secondCache keeps the text of the last second that was asked for: on a busy
// server most lines share it, and making it costs more than the rest of the line.
type secondCache struct{ last atomic.Pointer[second] }

// second is a moment to the second, and its text.
type second struct {
	unix int64
	zone *time.Location
	text []byte
}

func (c *secondCache) append(dst []byte, t time.Time) []byte {
	unix, zone := t.Unix(), t.Location()
	if s := c.last.Load(); s != nil && s.unix == unix && s.zone == zone {
		return append(dst, s.text...)
	}
	s := &second{unix: unix, zone: zone, text: t.AppendFormat(nil, commonLayout)}
	c.last.Store(s)
	return append(dst, s.text...)
}

func appendMillis(dst []byte, t time.Time) []byte {
	ms := t.Nanosecond() / int(time.Millisecond)
	return append(dst, byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
}

type timePart func(dst []byte, t time.Time) []byte

// javaDate compiles a SimpleDateFormat pattern.
func javaDate(format string) ([]timePart, error) {
	var parts []timePart
	for i := 0; i < len(format); {
		c := format[i]
		if c == '\'' {
			lit, n, err := javaQuoted(format[i:])
			if err != nil {
				return nil, err
			}
			parts = append(parts, literal(lit))
			i += n
			continue
		}
		n := 1
		for i+n < len(format) && format[i+n] == c {
			n++
		}
		if c < 'A' || c > 'Z' && c < 'a' || c > 'z' {
			parts = append(parts, literal(format[i:i+n]))
		} else if p := javaLetter(c, n); p != nil {
			parts = append(parts, p)
		} else {
			return nil, fmt.Errorf("%q is not a letter of a date pattern; quote text as 'text'", c)
		}
		i += n
	}
	return parts, nil
}

func literal(s string) timePart {
	return func(dst []byte, _ time.Time) []byte { return appendRaw(dst, s) }
}

// javaQuoted reads text in single quotes; two of them are one.
func javaQuoted(s string) (string, int, error) {
	if strings.HasPrefix(s, "''") {
		return "'", 2, nil
	}
	end := strings.IndexByte(s[1:], '\'')
	if end < 0 {
		return "", 0, fmt.Errorf("a quote is not closed")
	}
	return s[1 : 1+end], end + 2, nil
}

func layout(s string) timePart {
	return func(dst []byte, t time.Time) []byte { return t.AppendFormat(dst, s) }
}

func pick(n int, layouts ...string) timePart { return layout(layouts[min(n, len(layouts))-1]) }

func javaLetter(c byte, n int) timePart {
	switch c {
	case 'y', 'u':
		if n == 2 {
			return layout("06")
		}
		return layout("2006")
	case 'M', 'L':
		return pick(n, "1", "01", "Jan", "January")
	case 'd':
		return pick(n, "2", "02")
	case 'D':
		return func(dst []byte, t time.Time) []byte { return strconv.AppendInt(dst, int64(t.YearDay()), 10) }
	case 'E':
		return pick(n, "Mon", "Mon", "Mon", "Monday")
	case 'H':
		if n == 1 {
			return func(dst []byte, t time.Time) []byte { return strconv.AppendInt(dst, int64(t.Hour()), 10) }
		}
		return layout("15")
	case 'h':
		return pick(n, "3", "03")
	case 'm':
		return pick(n, "4", "04")
	case 's':
		return pick(n, "5", "05")
	case 'S':
		return appendMillis
	case 'a':
		return layout("PM")
	case 'z':
		return layout("MST")
	case 'Z':
		return layout("-0700")
	case 'X':
		return pick(n, "Z07", "Z0700", "Z07:00")
	}
	return nil
}
