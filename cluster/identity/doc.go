// Package identity is a cluster's certificate authority and its nodes'
// certificates: who may speak with whom.
//
// A cluster has a folder with an authority (ca.pem, ca-key.pem) and a key for the
// gossip's packets (gossip.key), which [InitCA] makes once. [Enroll] makes from it
// what a single node needs: ca.pem, gossip.key, and node.pem with the node's key
// and certificate. The folder with ca-key.pem need not be on any node; a node's
// folder has no ca-key.pem, unless the operator wants it there.
//
// [Load] reads a node's folder, and [Identity.TLS] is the configuration for both
// ends of every connection between nodes: TLS 1.3, both sides show a certificate
// of the cluster's authority, and the name in it is the peer's name
// ([PeerName]). The authority is the cluster: it signs for nothing else, and
// what it has not signed gets no further than the handshake.
//
// The authority lives ten years, a node's certificate two. Enroll again at any
// time before its end: a running node notices the new file at the next
// handshake. An authority is replaced without an interruption by putting the old
// and the new certificate into every ca.pem before nodes are enrolled by the new
// one.
//
// Keys are ECDSA on P-256. Files that hold a secret have the mode 0600. Nothing
// here overwrites an authority.
package identity
