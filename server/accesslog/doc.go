// Package accesslog formats and writes access logs.
//
// Parse compiles a pattern of Tomcat's AccessLogValve codes, such as
// `%h %l %u %t "%r" %s %b`, into a list of functions that each append one field,
// so that a line costs no reflection and next to no allocation. ParseJSON compiles
// the same codes into an object per line, with the keys of Tomcat's
// JsonAccessLogValve. What a line is made from is an Entry, which the access log
// valve fills.
//
// What clients send is hostile: quotes, backslashes, control characters and
// everything that is not ASCII are escaped, so that a request can forge neither a
// field nor a line.
//
// File is the file that lines go to: buffered, and rotated by day, hour or size.
// One that cannot be written is reported once, and lines are dropped and counted
// until it can be written again; a full disk does not stop the server.
package accesslog
