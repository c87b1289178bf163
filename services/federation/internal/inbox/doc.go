// Package inbox hears what other instances say: their heartbeats, on
// hub.presence.* in account HUB.
package inbox
