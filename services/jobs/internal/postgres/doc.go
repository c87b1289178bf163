// Package postgres has all the SQL of the service. Columns are named, never "*";
// every statement runs in a transaction that says whose rows it may see.
package postgres
