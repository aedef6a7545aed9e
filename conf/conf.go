// Package conf holds the configuration files that ship with Serval, so that the
// program can write them (serval init).
//
// Each file documents every key of its kind and holds the defaults:
//
//   - server.toml is the server: connectors, hosts, valves, limits. Its model is
//     package server/config.
//   - web.toml is what every application starts from, as Tomcat's conf/web.xml
//     does: the default servlet, welcome files, media types. Its model is package
//     descriptor.
//
// The package holds data only. Tests in the packages of the models keep the files
// and the code in step.
package conf

import _ "embed"

// Server is server.toml.
//
//go:embed server.toml
var Server []byte

// Web is web.toml.
//
//go:embed web.toml
var Web []byte
