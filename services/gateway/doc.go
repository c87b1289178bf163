// Package gateway is the HTTP edge: it owns nothing and decides nothing but
// who may ask.
//
//	owns    nothing; the contract is openapi.yaml
//	hears   auth.session.revoked, auth.membership.changed, auth.limit.changed, auth.project.deleting, auth.project.deleted
//	says    nothing
//	serves  every operation of openapi.yaml, to HTTP; asks the services over the bus
//
// A call is looked up in the contract, named, limited, authenticated, placed in
// a project, validated and rebuilt, and put on the bus as x-delivery says; the
// answer comes back as it is. Adding an endpoint is an operation in
// openapi.yaml and a handler in a service, and nothing here.
package gateway
