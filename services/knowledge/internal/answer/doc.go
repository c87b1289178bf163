// Package answer has questions answered by a language model from passages of a
// project, and checks what it says.
//
// What the model is given as passages is data. It stands between marks that nobody
// can know who wrote it, and what comes back is not believed: a number that no
// passage has is taken out of the text while it streams, and words that are quoted
// are looked for in the passage that they are said to be from. That there is no
// answer in the sources is an answer.
package answer
