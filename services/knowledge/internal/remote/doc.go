// Package remote has texts embedded, passages ranked and questions answered by
// services over HTTP: vectors by one that speaks as OpenAI's does (/embeddings) or
// as Gemini's (:batchEmbedContents), ranks by one that speaks as Cohere's, Jina's
// or text-embeddings-inference does (/rerank), answers by a language model that
// speaks as OpenAI's do (/chat/completions, streamed).
//
// An instance's operator names the service; what it answers is believed no further
// than needed: no redirect is followed, an answer is bounded and has to have one
// vector of the right length for each text. A call that fails for a reason that
// may pass is repeated, later each time, and after several that failed in a row none
// is made for a while: then calls end at once, as Unavailable.
package remote
