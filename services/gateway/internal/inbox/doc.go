// Package inbox hears what makes the gateway's memory of callers untrue. Every
// replica hears every fact, and keeps no record: what is missed while the bus
// is away runs out within a minute by itself.
package inbox
