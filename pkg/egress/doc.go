// Package egress calls addresses that a person gave: of a feed, a site, a hook.
//
// Such an address may be chosen to reach what only this machine can: its own
// ports, the network behind it, the address at which a cloud tells a machine its
// secrets. So every call is made by a [Client], which
//
//   - refuses what is no plain http or https address of a host ([Parse]), among it
//     the other ways to write an IPv4 address: octal, hexadecimal, as one number;
//   - resolves the name itself, refuses it when one of its addresses is not public
//     ([Policy.Check]), and connects to the address that it has checked, so that a
//     name that resolves to something else a moment later gains nothing;
//   - does so again for each redirect and each new connection;
//   - bounds the time, the redirects, the headers and the bytes of an answer after
//     it was unpacked;
//   - leaves a pause between two calls of one host.
//
// An operator opens private networks by [Policy.Allow]. Nothing opens the
// addresses at which clouds hand out secrets. A proxy of the environment is not
// used: it would connect to what was not checked.
package egress
