// Package transfer brings a project in that was exported somewhere.
//
// The archive is read twice: once to check all of it, and once to hand it out.
// What is handed out goes to a number that no project has; the project is made
// when everything is there, in one transaction. Whatever ends before leaves a
// number that everybody purges. A try that begins again takes a new number, so
// that nothing has to be done twice in the same place.
package transfer
