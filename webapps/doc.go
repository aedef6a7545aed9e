// Package webapps holds no code: the folders beside this file are the bundles
// that ship with Serval, and the tests here run theirs and check that they are
// as a bundle should be.
package webapps
