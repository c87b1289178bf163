// Package datadir owns the directory that an instance lives in.
//
//	LOCK  LOCK.nats  LOCK.postgres   flock, with the pid of the holder
//	VERSION                          of the program that wrote here last
//	owner-password                   of the first account, 0600
//	keys/                            0700: the instance secret, NATS keys and credentials
//	nats/  postgres/  logs/          JetStream, the private cluster, log files
//
// One process at a time holds a lock; the kernel frees it when the process
// dies, however it dies, so nothing is left to clean up after a crash.
package datadir
