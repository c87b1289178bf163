// Package safetensors reads model weights in the safetensors format: eight
// bytes with the length of a JSON header, the header, and the numbers.
//
// A file is data from outside. [Open] checks every length, shape and offset of
// the header against the file before anything is read or mapped.
package safetensors
