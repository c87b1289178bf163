// Package rotate writes a log file that cannot fill the disk: at a size it is
// renamed to .1, the former .1 to .2, and so on; the oldest is removed.
package rotate
