// Package postgres is the only SQL of the federation service.
package postgres
