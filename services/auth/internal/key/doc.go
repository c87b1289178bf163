// Package key is about what programs call with: API keys of persons, and the
// keys of service accounts, which are members of a project that are nobody.
//
// A key is good in one project, for what its scopes name, and never for more
// than its holder may do there. The gateway compares scopes, so that there is
// one place that says no. Only a key's hash is kept, and it is shown once.
package key
