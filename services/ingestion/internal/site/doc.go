// Package site reads sites page by page, as far as they allow it.
package site
