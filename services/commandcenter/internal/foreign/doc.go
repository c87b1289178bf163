// Package foreign reads knowledge bases that other products keep: the archives that
// KnowledgeBeast exports (ZIP 2.x and JSON 1.0), and the collections of a Chroma
// server over HTTP (API v2, and v1 of before 0.6).
//
// What it reads is hostile until shown otherwise: every size and number is bounded.
// Texts are taken and vectors are not, since another model made them.
package foreign
