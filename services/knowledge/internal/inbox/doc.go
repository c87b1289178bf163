// Package inbox hears what the knowledge service has to know of others: that
// a project goes.
package inbox
