// Package xmltree reads one XML 1.0 document into a tree that knows the line and
// column of each element, attribute and text.
//
// It exists because encoding/xml is lenient where a server must not be: it passes
// text before the declaration, several roots, duplicate attributes, undeclared
// prefixes and comments with "--" in them, and it tells only the byte offset. This
// reader checks well-formedness (XML 1.0, fifth edition) and namespaces (Namespaces in
// XML 1.0), as a non-validating processor that never reads an external entity:
// the DOCTYPE's internal subset is read for its entities, whatever lies outside of the
// document is not.
//
// Everything is bounded ([Limits]): size, depth, number of elements and attributes,
// and the text that entities expand to. The first violation ends the reading with
// an [*Error]; a document that is not well-formed has no meaning to report more about.
package xmltree
