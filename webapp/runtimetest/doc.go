// Package runtimetest is the suite that every webapp.Runtime must pass, so that
// application code cannot tell where it runs. It deploys an application of its
// own through the runtime under test, behind a real webapp.Context and a real
// HTTP server, and looks at the answers: sessions and their commit points,
// filters of the application around servlets of the server and the other way
// round, forwards and includes across both, errors, panics, streams, upgrades,
// listeners, and the program's end.
//
// A linked runtime is given the App directly. A program in another process
// serves the same App:
//
//	func TestMain(m *testing.M) {
//		if os.Getenv(servlet.WorkerEnv) != "" {
//			servlet.Main(runtimetest.App())
//			return
//		}
//		os.Exit(m.Run())
//	}
//
//	func TestRuntime(t *testing.T) {
//		runtimetest.Run(t, runtimetest.Options{Runtime: rt})
//	}
package runtimetest
