// Package technology is what a project looks at: its rules, where each stands on the
// radar, and what becomes of it.
package technology
