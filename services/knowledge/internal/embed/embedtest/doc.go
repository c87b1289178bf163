// Package embedtest makes small models of the real model's kind for tests:
// random weights, a vocabulary of letters, a few kilobytes. Equal texts have
// equal vectors and texts that share words are nearer than others; nothing
// else about them means anything.
package embedtest
