// Package fusion joins the legs of a hybrid search into one ranking.
//
// Every candidate comes with its score in both legs, whichever leg found it,
// so no score is ever missing and none has to be invented.
package fusion
