// Package sessions keeps the HTTP sessions of one application: who they are
// (ids, cookies), what they hold (attributes as bytes with a version each), how
// long they live, and what each request changed in them.
//
// A [Manager] belongs to one application. [Manager.Create] and [Manager.Find]
// return a [Session] that is in use until its [Session.End]; while it is in use
// it does not expire. A request reads committed attributes with
// [Session.Attribute] and hands in all that it changed with [Session.Commit]:
// the changes become visible at once and together, the last commit of an
// attribute wins, and the [Delta] that they make goes to the [Replicator], if
// there is one. [Session.CompareAndSwap] is for changes that must not be lost.
//
// Idle sessions are kept in memory that the garbage collector does not look
// into, packed into a few hundred bytes each; only some thousand sessions that
// were used last are Go objects. A wheel of timers ends those that have been
// idle for too long, so no one walks over all of them. With a [Store], sessions
// above a limit or idle for long are moved out of memory (passivation).
//
// [Manager.Close] saves the sessions to one file, which [Manager.Load] reads at
// the next start; [Manager.Rebind] hands the living manager from one generation
// of an application to the next, so that a reload needs no file.
//
// [Tracker] reads the ids that a client sent (cookies, then the URL), writes the
// session cookie and rewrites URLs, as the descriptor's session-config says.
//
// Nothing here knows that a cluster exists. The package declares what one needs:
// [Replicator], [Delta], [Snapshot], [Dot].
//
// Locks, in the order in which they may be taken: the serialised-access lock of
// a session, a shard's mutex, a session's mutex, the mutexes of [Interner],
// [HLC] and statistics. Listeners, Stores and Replicators are called with none
// of the mutexes held, but for [Replicator.Commit], which is called with that of
// the session: a Replicator's own locks come after it.
package sessions
