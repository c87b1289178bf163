// Package inbox hears what the research service has to know of others: that a project
// goes.
package inbox
