// Package embed turns text into vectors: all-MiniLM-L6-v2 (384 dimensions)
// run inside this process by our own forward pass, without cgo.
//
// An [Embedder] is safe for concurrent use. Its work is bounded: at most
// [Options].Workers forward passes run at a time, a query goes before a batch
// (a running batch gives its place up between two half layers), and every call
// ends soon after its context does. Vectors have unit length, so that the dot
// product of two is their cosine similarity.
//
// [Fetch] brings the model's two files to this machine, once and checked;
// [Locate] finds them without the network; [Load] opens them.
//
// The rooms below: wordpiece (text to tokens), safetensors (the file of
// weights), kernel (the arithmetic, in assembly where the processor allows),
// minilm (the network), fetch (how the files get here).
package embed
