// Package member decides who of a project may do what to its other members.
//
// A member's standing is read and changed under the lock of the project, so that
// a right that has just ended is not used.
package member
