// Package wire writes and reads the numbers of an index as a stream of blocks,
// each with its length, its number and a checksum.
//
// What a [Reader] gives has been checked: a stream that is cut, longer than it
// should be, or different in a single bit ends in [ErrDamaged] before anything of the
// block is seen. A count is refused when the rest of the stream could not hold so
// many, so that what is read never takes much more memory than it has bytes.
// Both keep their first error; after it a Reader gives zeros.
package wire
