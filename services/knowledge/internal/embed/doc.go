// Package embed turns text into vectors: by all-MiniLM-L6-v2 (384 dimensions) or
// another model of [Models], run inside this process by our own forward pass,
// without cgo.
//
// An [Embedder] is safe for concurrent use. Its work is bounded: at most
// [Options].Workers forward passes run at a time, a query goes before a batch
// (a running batch gives its place up between two half layers), and every call
// ends soon after its context does. Vectors have unit length, so that the dot
// product of two is their cosine similarity.
//
// [Fetch] brings the model's two files to this machine, once and checked;
// [Locate] finds them without the network; [Inspect] looks at a directory that an
// operator has filled; [Load] opens them.
//
// The rooms below: wordpiece and unigram (text to tokens), safetensors (the file of
// weights), kernel (the arithmetic, in assembly where the processor allows),
// bert (the network), fetch (how the files get here).
package embed
