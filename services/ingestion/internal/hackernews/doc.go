// Package hackernews finds what is said of some words on Hacker News.
package hackernews
