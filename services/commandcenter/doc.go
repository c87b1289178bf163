// Command commandcenter is the whole product in one binary: everything at once
// (up), some of its parts (serve), and the client of a server.
//
// This folder is the only code that imports several services.
package main
