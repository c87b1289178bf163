// Package ui holds the search page: search, upload and the list of documents
// for people, at /ui. It is plain HTML, CSS and JavaScript modules that call the
// public API as any program does, by the session's cookie; nothing in it runs
// inline, so that its policy forbids everything that is not of this server.
package ui
