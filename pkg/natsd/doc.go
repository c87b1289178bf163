// Package natsd runs a NATS server inside this process and issues the trust
// that it, or any other NATS server, is to be used with.
//
// Trust is decentralised (operator and JWT mode) from the first start: an
// operator signs three accounts, and each account signs its users.
//
//   - CC holds everything of this instance: requests, commands, events, jobs.
//   - HUB holds what instances tell each other. Leaf connections of others bind
//     HUB and nothing else: no subject is imported from or exported to CC, so
//     that what a neighbour sends cannot reach this instance's streams. Whoever
//     speaks in both accounts holds a user, and so a connection, in each. Who
//     takes leaf connections is guarded by the user that he issues for it, who
//     makes them by a list of what never crosses.
//   - SYS is the server's own.
//
// [Provision] writes the keys and one credentials file per user under
// <dir>/keys, readable by the owner alone; it may run any number of times, and
// other processes connect with the files. A connection inside the process
// authenticates like one from outside.
//
// JetStream keeps its files under <dir>/nats and calls fsync before it
// acknowledges: an acknowledged message survives the loss of power.
package natsd
