// Package purge removes all that a schema keeps of a project, and proves it.
//
// Which tables these are it asks the catalog, so that one that is added later
// is purged without a word. What has to stay is named with a reason; afterwards
// the rows are counted again, and a purge that has left something fails.
package purge
