// Package instance is the catalog of instances: how a heartbeat is read, when
// it counts, and what its absence means.
package instance
