// Package template is how a project may begin: an embedding model that suits what it
// will hold, and a few documents that show how that is written down.
package template
