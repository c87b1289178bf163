// Package evaluate asks a server judged questions over HTTP, one by one, and takes
// down how it ranks. What is asked and what comes of it is in package trial.
package evaluate
