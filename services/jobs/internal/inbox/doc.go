// Package inbox hears what the jobs service has to know of others: that a project
// goes.
package inbox
