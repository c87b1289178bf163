// Package topk keeps the best of many.
package topk
