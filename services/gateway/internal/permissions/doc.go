// Command permissions writes the page that says who may call which operation,
// from the contract: `make gen`.
package main
