// Package inbox hears the events that concern the auth service. inbox.go lists
// every subscription; then there is a file per event.
package inbox
