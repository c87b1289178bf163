// Package sheet keeps the cells of a CSV from doing anything in a spreadsheet.
package sheet
