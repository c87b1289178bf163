// Package gateway is the HTTP edge: it owns nothing and decides nothing but
// who may ask.
//
//	owns    nothing; the contract is openapi.yaml
//	hears   what changes who may do what: of auth, session.revoked, user.deactivated and reactivated, membership.changed, key.created and revoked,
//	        service_account.changed, signing_key.rotated, limit.changed, project.deleting and deleted
//	says    platform.call.recorded, of what it denied
//	serves  every operation of openapi.yaml, to HTTP; asks the services over the bus
//
// A call is looked up in the contract, named, limited, authenticated, placed in
// a project, validated and rebuilt, and put on the bus as x-delivery says; the
// answer comes back as it is. Adding an endpoint is an operation in
// openapi.yaml and a handler in a service, and nothing here.
package gateway
