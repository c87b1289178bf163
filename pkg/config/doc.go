// Package config loads one struct from defaults, a YAML file, the environment
// and flags, in rising precedence, and validates it whole.
//
// The struct states everything about a setting in tags:
//
//		HTTP string `config:"http" env:"CC_HTTP" flag:"http" usage:"address of the HTTP server"`
//
//	  - config: the key, in dotted form below nested structs. "-" leaves a field
//	    out; a field without the tag is left out too.
//	  - env: variables that set it, comma separated, the first set wins. Without
//	    the tag it is the prefix and the key in upper case: a.b-c is CC_A_B_C.
//	  - flag: the name of the flag, and after a comma its one-letter form. No tag, no flag.
//	  - secret:"true": never shown; so is every key that [obs.Secret] recognises.
//	  - usage: one line for --help, `config list` and a fresh file.
//
// A duration is text such as 1m30s or 30d; a bare number is seconds.
//
// The values in the struct given are the defaults. Unknown keys in the file
// are errors: a misspelt setting that is silently ignored is worse than a
// process that does not start. The package names no setting.
package config
