// Package grants lets other teams onto the bus of an instance and takes them
// off it again. The keys of the instance sign; what was granted is written down
// beside them, without any secret.
package grants
