// Package schema holds the forms of facts from outside and checks facts against
// them.
package schema
