// Package portable lets a service hand over what it holds of a project, and take
// it into another one.
//
// What is handed over is not listed: it is every table with rows of projects
// that the catalog of the database has, less those that a [Plan] leaves out with
// a reason. A table that is added tomorrow is exported tomorrow; a test asks
// that its plan says what an import makes of it. Columns of secrets are never
// read.
//
// What is taken in comes from a file that anybody may have written. It reaches
// the service row by row, by functions that check it as they check a caller, in
// a project that nobody sees yet.
package portable
