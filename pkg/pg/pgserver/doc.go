// Package pgserver runs a private PostgreSQL for one program, from whatever
// binaries the machine has.
//
// [Start] finds the binaries, or fetches a bundle once; makes the cluster on
// the first start; and returns when the server answers. The server listens on
// a unix socket only, in a directory that its account alone may enter, and
// asks for a password (SCRAM). Data is safe against a crash of the machine
// (fsync is on) unless Unsafe says otherwise.
//
// # Account
//
// PostgreSQL refuses to run as root. When the program is root the server runs
// as user postgres, else nobody, and its directory belongs to that user. When
// that user cannot reach the data directory, because a parent is closed to
// others, the cluster lives under /var/lib/commandcenter instead, a file
// "cluster" in the data directory says where, and the log tells. Who removes the
// data directory leaves that cluster behind; [Leftovers] lists such ones.
//
// # Death
//
// Stop is a fast shutdown: running transactions are rolled back, everything
// committed is on disk. On Linux the kernel does the same when the program
// dies without a word. Elsewhere the server is left behind; in any case the
// next Start finds a server that still runs in its directory, and stops it
// before it starts its own. A server that dies by itself is reported by
// [Server.Failed].
package pgserver
