// Package task is what a project wants to find out: the rules of a task, the one state
// machine of how far it has come, and what becomes of it.
package task
