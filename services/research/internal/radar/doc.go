// Package radar draws what a project looks at: four quadrants, four rings, and a blip
// for each technology, as a picture (SVG, PNG), as text for a terminal, and as the CSV
// that other radars read.
//
// A blip keeps its place while new ones are added: places are found one after another,
// in the order of their ids.
package radar
