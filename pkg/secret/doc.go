// Package secret keeps secrets in a database so that whoever reads the database
// learns nothing, and whoever writes to it cannot move one.
//
// A [Ring] seals each value with a data key of its own (AES-256-GCM), and the
// data key with the primary key of the ring, a Tink keyset. Both are bound to a
// [Place], the column and the row: at any other place the value does not open.
// Older keys of a ring still open what they sealed, so that a ring is rotated
// while everybody works: a new primary key is added, and [Rewrap] seals the data
// keys anew; the values themselves are not touched.
//
// The ring's text comes from a [Source] and is read again when it may have
// changed. With a master key, which may live in a KMS, the text itself is
// encrypted.
//
// Columns that hold sealed values have the type platform.sealed. [Columns] finds
// them in the catalog, so that what is added later is rotated as well. A
// statement that writes one says $1::bytea: the driver knows no other form.
//
// A [Value] is an opened secret that does not find its way into a log, an answer
// or an error: whatever prints it says "[secret]".
package secret
