// Package memory holds large tables of numbers outside the garbage-collected
// heap: 40 MB of weights on the heap would let it grow to twice that before
// each collection, for data that never becomes garbage.
//
// Where the system cannot map memory, the heap is used after all.
package memory
