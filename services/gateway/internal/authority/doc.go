// Package authority asks the auth service, over the bus, what package access
// wants to know.
package authority
