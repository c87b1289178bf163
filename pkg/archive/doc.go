// Package archive writes and reads the file that holds everything a project
// owns.
//
// An archive is a tar file, compressed with gzip, of plain files only:
//
//	head.json                           what follows, and who made it
//	<service>/objects/<sha256>          bytes that rows refer to
//	<service>/<table>/000001.ndjson     rows, a JSON object a line
//	sums/000001.sha256                  lines as sha256sum writes them
//	manifest.json                       counts, what was left out and why; the last
//
// Objects stand before the rows that refer to them. Every member is named, with
// its SHA-256, by the next file of sums, and the manifest names head and sums,
// so that one pass checks all of it and neither side keeps more than a part in
// memory; so does `sha256sum -c sums/*` where it was unpacked. The sums tell
// damage, not forgery: whoever can write an archive can write its sums. What an
// archive says is for its reader to judge, but for this: a row that has a
// `project_id` has that of the head, and one that has a `sha256` names an object of
// its service that stands before it.
package archive
