// Package deploy turns what lies in a host's folders into running
// applications, and keeps them in step with those folders.
//
// A Host owns one appBase (bundles: folders, .war and .zip files) and one
// xmlBase (context files: *.xml and *.toml that describe applications whose
// bundle may lie elsewhere). It scans both, finds out what each change means
// by Tomcat's rules (new, modified, added, deleted: reload, redeploy or
// undeploy), and carries it out.
//
// Deploying never stops what serves. A new generation of an application is
// opened, validated, built, started and initialised while the old one goes on
// answering; then the two are exchanged atomically, the old one's requests are
// waited for, and it is stopped. A generation that fails before the exchange
// changes nothing but what Apps reports: state FAILED and the reason. The
// sessions of an application belong to its context path and version, not to a
// generation, so they survive both a reload and a redeploy.
//
// Several versions of one context path (base names such as shop##2) run side
// by side: a request that carries a session goes to the version that knows the
// session, every other request to the newest version.
//
// Package deploy/archive opens and unpacks the zip files, which are hostile
// until proven otherwise.
package deploy
