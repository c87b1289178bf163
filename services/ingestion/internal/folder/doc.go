// Package folder reads folders of the machine that the operator has opened, and
// hears when something changes in them.
package folder
