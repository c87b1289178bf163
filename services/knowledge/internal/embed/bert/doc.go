// Package bert is the network of sentence encoders: BERT, in all its sizes, and
// MPNet, whose attention knows how far two tokens are apart. A vector is the
// mean of the last layer or its first row, scaled to length 1.
//
// Sequences of a batch lie one after another without padding: the matrix
// products see one tall matrix, and attention goes sequence by sequence.
// Numbers of layers and dimensions follow from the file of weights, and so does
// which of the two networks it is.
package bert
