package embed

// LoadWith is Load with a chosen set of kernels.
var LoadWith = load
