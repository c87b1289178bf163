// Package job makes one list of the jobs of all services, and says of each what the
// contract does.
package job
