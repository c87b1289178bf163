// Package secrettest gives tests their sealing keys.
package secrettest
