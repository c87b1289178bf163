// Package feed reads feeds: RSS, Atom and JSON Feed, as they are found in the
// world, which is seldom as they should be; and lists of feeds (OPML).
package feed
