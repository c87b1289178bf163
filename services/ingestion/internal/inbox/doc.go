// Package inbox hears what the service hears. inbox.go lists each subscription.
package inbox
