// Package bitmap is a set of small integers. Filters are sets: what a search
// may return is decided before it ranks, so that a selective filter still
// fills the page.
package bitmap
