package index

import (
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/fusion"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/lexical"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/terms"
)

// Passage is a chunk as the index needs it. Text and title of an id never
// change: a chunk with another text is another chunk.
type Passage struct {
	ID       int64
	Document int64
	Title    string // document title, heading path and symbols
	Body     string
	Symbol   string // of code, also in Title; for the field symbol of a query
	Source   string // name of the document, for the fields source and path
	Language string // for the field lang
	// TextLanguage is the language of title and body, by its code; "" has it found
	// out.
	TextLanguage string
	Vector       []float32 // nil while there is none
	Collection   string
	Category     string
	Technology   int64 // 0: none
	Repository   int64 // 0: none
}

// Filter narrows a search. Zero fields do not filter.
type Filter struct {
	Collection string
	Category   string
	Technology int64
	Repository int64
}

// Leg is the vectors of a project that are kept elsewhere, asked for one question.
type Leg struct {
	// Nearest are the k passages nearest to the question, nearest first, of those in
	// among (nil: of all): k of them where there are so many, as far as they have a
	// vector. cosines are those of the passages in also that have one.
	Nearest func(k int, among, also []int64) (nearest []Near, cosines map[int64]float64, err error)
	// Vectors are those of some passages, of unit length.
	Vectors func(ids []int64) (map[int64][]float32, error)
}

// Near is a passage with the cosine of its vector and the question's.
type Near struct {
	ID     int64
	Cosine float64
}

// Mode says which legs a search uses.
type Mode string

// The modes.
const (
	Hybrid  Mode = "hybrid"
	Vector  Mode = "vector"
	Keyword Mode = "keyword"
)

// Request is a search in one index.
type Request struct {
	Text      string    // in the language of package query
	Vector    []float32 // of the text's topic; nil leaves the vector leg out
	Leg       *Leg      // asked in place of the index's own vectors, of those that are elsewhere
	Mode      Mode
	Alpha     float64 // weight of the vector leg in Hybrid, 0 to 1
	Method    fusion.Method
	Limit     int
	Offset    int // how many of the best to leave out
	Filter    Filter
	Group     bool    // the best passage of each document alone
	Diversity float64 // 0 to 1: how much being like a better passage counts against one
	Explain   bool
}

// Hit is a found passage. Ranks count from 1 within a leg's candidates; 0
// means that the leg did not list the passage.
type Hit struct {
	ID           int64
	Document     int64
	Score        float64 // 0 to 1
	Lexical      float64 // BM25
	LexicalRank  int
	Cosine       float64
	HasVector    bool
	VectorRank   int
	TextLanguage terms.Language
	Others       int          // of Group: how many more passages of the document were found
	Account      *Explanation // of Explain
}

// Explanation takes a score apart.
type Explanation struct {
	Terms     []lexical.Share
	Lexical01 float64 // BM25 in 0 to 1, as it is joined
	Cosine01  float64
	Weight    float64 // of the vector leg
}

// Result is what a search found, best first, and the generation that it saw.
type Result struct {
	Hits       []Hit
	Generation int64
	// Total is how many passages match by words, and -1 when words were not
	// searched for.
	Total int
	Terms []string // that passages were looked up by
	// Languages are those that the words of the query were read in.
	Languages []terms.Language
}
