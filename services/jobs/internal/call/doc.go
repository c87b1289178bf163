// Package call asks for an address, as a job: a sign of life, a hook that waits to be
// pulled, a page that has to be warm.
package call
