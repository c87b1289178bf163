// Package torture judges what a product did while its parts were killed: what
// clients were told, against the database, the streams and what readers heard. It
// asks nobody: the evidence is gathered by who kills.
package torture
