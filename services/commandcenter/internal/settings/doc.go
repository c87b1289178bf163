// Package settings is the one Config of the program: what every command may be
// told, by file, environment or flag, validated whole.
package settings
