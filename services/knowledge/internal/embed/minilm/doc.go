// Package minilm is the network of all-MiniLM-L6-v2: a BERT encoder with heads
// of 32 numbers, and the mean of its last layer, scaled to length 1.
//
// Sequences of a batch lie one after another without padding: the matrix
// products see one tall matrix, and attention goes sequence by sequence.
// Numbers of layers, heads and dimensions follow from the file of weights.
package minilm
