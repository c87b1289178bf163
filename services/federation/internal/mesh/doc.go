// Package mesh searches several instances at once: it asks each of them for
// what it shares with this one, and answers those that ask. What goes over the
// wire, and who is believed, is decided by the room around it.
package mesh
