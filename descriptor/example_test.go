package descriptor_test

import (
	"fmt"
	"testing/fstest"

	"github.com/serval-server/serval/descriptor"
)

func ExampleLoad() {
	bundle := fstest.MapFS{"WEB-INF/web.toml": {Data: []byte(`
display-name = "Shop"

[[servlet]]
name = "cart"
patterns = ["/cart/*"]
`)}}
	app, findings := descriptor.Load(bundle, descriptor.LoadOptions{})
	if err := findings.Err(); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(app.DisplayName, app.SessionConfig.Timeout)
	for _, m := range app.ServletMappings {
		fmt.Println(m.Servlet, m.Patterns[0].URL)
	}
	// Output:
	// Shop 30m0s
	// cart /cart/*
	// default /
	// gohtml *.gohtml
}

func ExampleCheckFile() {
	findings := descriptor.CheckFile("WEB-INF/web.xml", []byte(`<web-app>
  <session-config><session-timeout>half an hour</session-timeout></session-config>
  <sevlet/>
</web-app>`))
	fmt.Print(findings)
	// Output:
	// WEB-INF/web.xml:2:36: error: <session-timeout> is "half an hour"; it must be a whole number of minutes
	// WEB-INF/web.xml:3:3: warning: the element <sevlet> is not known in <web-app> (did you mean "servlet"?); it is ignored
}

func ExampleWebApp_CheckClasses() {
	app, _ := descriptor.Load(fstest.MapFS{"WEB-INF/web.toml": {Data: []byte(`listeners = ["audit"]`)}}, descriptor.LoadOptions{})
	err := app.CheckClasses(func(kind descriptor.ComponentKind, class string) bool {
		return kind == descriptor.ServletComponent // default and gohtml are there, a listener is not
	})
	fmt.Println(err)
	// Output:
	// WEB-INF/web.toml:1:14: a class that the application names is not there:
	//     listener audit (WEB-INF/web.toml:1:14)
	//   The bundle's program must have each in its servlet.App under this name; is the name spelled as there, and is the program in WEB-INF?
}

func ExampleConvertServer() {
	toml, findings := descriptor.ConvertServer("server.xml", []byte(`<Server port="-1"><Service name="Catalina">
  <Connector port="8080"/>
  <Engine name="Catalina" defaultHost="localhost"><Host name="localhost" appBase="webapps" reloadable="x"/></Engine>
</Service></Server>`))
	fmt.Print(toml, findings)
	// Output:
	// # Converted from server.xml.
	//
	// [server]
	// engine = "Catalina"
	// default-host = "localhost"
	//
	// [[connectors]]
	// name = "http"
	// address = ":8080"
	//
	// [[hosts]]
	// name = "localhost"
	// app-base = "webapps"
	// server.xml:3:92: warning: the attribute reloadable of <Host> has no equivalent
}
